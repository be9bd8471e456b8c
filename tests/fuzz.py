"""Damaged files and killed runs: `python -m tests.fuzz [--mutations 150] [--kills 20]`. Seeded, so a fault repeats.

Each damaged file is read in a forked child. A fault is a traceback, a signal, or no end. Other
cells than before are a fault only of the store and of the checkpoint, which carry checksums: a bit
flipped in the values of a user's own file gives other cells, and no reader can tell.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd

import jojoscl
from jojoscl.cells.preprocess import Preprocess, stored
from jojoscl.datasets.load import FileDataset
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError
from tests import hostile

SECONDS = 60  # for one child; an undamaged file takes one or two
ALLOWED = {"same", "refused", "computed anew", "other cells", "not by anndata"}
PREPROCESS = Preprocess(n_top_genes=50)
CELLS = simulate(60, 80, 3, library_size=400.0, seed=3)


class Kind(NamedTuple):
    """A kind of file: what writes it into a folder, which of its files are damaged, what reads it, has it checksums."""

    write: Callable[[Path], object]
    files: str
    read: Callable[[Path], object]
    sealed: bool = False


# ---- what is written and read --------------------------------------------------------------------


def clustered(cells: ad.AnnData) -> bytes:
    jojoscl.cluster(cells, 3, n_draws=1)
    return (
        np.asarray(cells.obs["jojoscl"]).astype("S").tobytes() + cells.obsm["X_jojoscl"].tobytes()
    )


def by_anndata(folder: Path, *, backed: bool) -> bytes | str:
    """What anndata itself cannot read does not reach the library."""
    try:
        cells = ad.read_h5ad(folder / "a.h5ad", backed="r" if backed else None)
    except Exception:
        return "not by anndata"
    return clustered(cells)


def by_reader(folder: Path, *, name: str, backed: bool = False) -> bytes:
    cells = FileDataset(path=folder / name, backed=backed).load()
    return stored(PREPROCESS, cells, None)[:].tobytes()


def cells_h5ad(folder: Path) -> None:
    CELLS.write_h5ad(folder / "a.h5ad")


def from_store(folder: Path) -> bytes:
    return stored(PREPROCESS, CELLS, folder / "cache")[:].tobytes()


def gone_on(folder: Path) -> bytes:
    return b"".join(
        values.numpy().tobytes() for values in hostile.trained(folder, 2).state_dict().values()
    )


def kept_model(folder: Path) -> None:
    jojoscl.JojoSCL(n_draws=1).fit(CELLS, 3).save(folder / "model.npz")


def by_model(folder: Path) -> bytes:
    found = jojoscl.load(folder / "model.npz").predict(CELLS)
    return found.labels.tobytes() + found.embedding.tobytes()


KINDS = {
    "h5ad, in memory": Kind(cells_h5ad, "a.h5ad", partial(by_anndata, backed=False)),
    "h5ad, our reader": Kind(cells_h5ad, "a.h5ad", partial(by_reader, name="a.h5ad")),
    "h5, sparse": Kind(
        lambda at: hostile.sparse_h5(at / "a.h5"), "a.h5", partial(by_reader, name="a.h5")
    ),
    "h5, dense": Kind(
        lambda at: hostile.dense_h5(at / "a.h5"), "a.h5", partial(by_reader, name="a.h5")
    ),
    "backed, by anndata": Kind(cells_h5ad, "a.h5ad", partial(by_anndata, backed=True)),
    "backed, our reader": Kind(
        cells_h5ad, "a.h5ad", partial(by_reader, name="a.h5ad", backed=True)
    ),
    "store": Kind(from_store, "cache/*/*", from_store, sealed=True),
    "model": Kind(kept_model, "model.npz", by_model, sealed=True),
    "checkpoint": Kind(hostile.trained, "last.ckpt", gone_on, sealed=True),
}


# ---- damage --------------------------------------------------------------------------------------


def spoil(path: Path, number: int) -> None:
    """Damage a file by the way, and the seed, that `number` stands for."""
    rng, way = np.random.default_rng(number), number % 3
    if path.suffix in (".h5ad", ".h5") and way:
        (hostile.indices_changed if way == 1 else hostile.values_changed)(path, rng)
    else:
        path.write_bytes(hostile.flipped_or_cut(path.read_bytes(), rng))


def judged(name: str, good: Path, expected: str, number: int) -> tuple[str, str]:
    """Return how one damaged file was taken, and its trace if that is a fault."""
    with tempfile.TemporaryDirectory() as outer:
        shutil.copytree(good, folder := Path(outer) / "files")
        files = sorted(folder.glob(KINDS[name].files))
        spoil(files[number % len(files)], number)
        found, trace = in_child(name, folder)
    if found.startswith("digest "):
        recomputed = found.endswith("warned")
        same = found.split()[1] == expected
        other = "DIFFERENT" if KINDS[name].sealed else "other cells"
        return (
            "computed anew" if recomputed and KINDS[name].sealed else "same"
        ) if same else other, trace
    return found, trace


def in_child(name: str, folder: Path) -> tuple[str, str]:
    """Read `folder` in a forked process; return what it says of that, or the signal that ended it, and its trace."""
    told = folder.parent / f"told-{folder.name}"
    if not (child := os.fork()):
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            told.write_text(say(name, folder))
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + SECONDS
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "HANG", ""
        time.sleep(0.005)
    code = os.waitstatus_to_exitcode(ended[1])
    if code < 0:
        return signal.Signals(-code).name, ""
    first, _, rest = told.read_text().partition("\n") if told.exists() else ("TRACEBACK", "", "")
    return first, rest


def say(name: str, folder: Path) -> str:
    logged = StringIO()
    logging.getLogger("jojoscl").addHandler(logging.StreamHandler(logged))
    warnings.simplefilter("ignore")
    try:
        found = KINDS[name].read(folder)
    except UserError as error:
        return "refused" if "\n" not in str(error) else f"TRACEBACK\n{error}"
    except BaseException:
        return f"TRACEBACK\n{traceback.format_exc()}"
    if isinstance(found, str):
        return found
    warned = "warned" if logged.getvalue() else "silent"
    return f"digest {hashlib.sha256(found).hexdigest()} {warned}"


def fuzz(n_mutations: int, workers: int, only: str) -> bool:
    """Print a table of outcomes, and each fault; return whether there is any."""
    rows, faults = {}, []
    for name in KINDS:
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as outer:
            good = Path(outer) / "good"
            good.mkdir()
            with ProcessPoolExecutor(
                1, get_context("fork")
            ) as pool:  # this process stays without threads
                pool.submit(write, name, good).result()
            shutil.copytree(good, trial := Path(outer) / "trial")
            whole, trace = in_child(name, trial)
            if not whole.startswith("digest "):
                raise SystemExit(f"{name}: the undamaged file is {whole} {trace}")
            with ProcessPoolExecutor(workers, get_context("fork")) as pool:
                job = partial(judged, name, good, whole.split()[1])
                found = list(pool.map(job, range(n_mutations)))
        rows[name] = Counter(outcome for outcome, _ in found)
        faults += [(name, i, *one) for i, one in enumerate(found) if one[0] not in ALLOWED]
        print(f"{name}: {dict(rows[name])}", flush=True)
    print(pd.DataFrame(rows).T.fillna(0).astype(int).to_string())
    for name, number, outcome, trace in faults:
        print(f"\n{name}, mutation {number}: {outcome}\n{trace}")
    return bool(faults)


def write(name: str, folder: Path) -> None:
    KINDS[name].write(folder)


# ---- kills ---------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-c", "from jojoscl.runner.cli import main; main()"]
SIMULATED = [
    "data=simulated",
    "data.n_cells=300",
    "data.n_genes=200",
    "pictures=false",
    "hydra.run.dir=run",
]
QUICK = [
    "trainer.progress_bar=false",
    "trainer.checkpoint_seconds=0",
    "trainer.accelerator=cpu",
    "paths.cache=cache",
]
METHODS = {"jojoscl": 20, "jojoscl_paper": 30, "sccl": 30}  # epochs


def started(folder: Path, arguments: Iterable[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    out = subprocess.DEVNULL
    return subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=out, stderr=out)


def run_whole(folder: Path, arguments: Iterable[str]) -> float:
    """Run the command to its end; return the seconds from the making of its run folder on."""
    process = started(folder, arguments)
    wait_until(lambda: (folder / "run").exists() or process.poll() is not None, SECONDS)
    start = time.monotonic()
    if code := process.wait():
        raise SystemExit(f"{folder.name}: exit code {code}")
    return time.monotonic() - start


def kill_and_go_on(method: str, n_kills: int, place: Path) -> bool:
    """Kill a run at random times and go on; return whether a result differs from an unbroken run's."""
    arguments = [f"method={method}", f"trainer.max_epochs={METHODS[method]}", *SIMULATED, *QUICK]
    seconds = min(run_whole(place / name, arguments) for name in ("cold", "whole"))
    found, rng = Counter[str](), random.Random(method)
    while found["killed"] < n_kills and found.total() < 4 * n_kills + 10:
        folder = place / f"broken{found.total()}"
        process = started(folder, arguments)
        wait_until((folder / "run").exists, SECONDS)
        time.sleep(rng.uniform(0, seconds))
        process.kill()
        if process.wait() == 0:
            found["ended before"] += 1
            continue
        found["killed"] += 1
        found["of them with a checkpoint"] += (folder / "run" / "last.ckpt").exists()
        run_whole(folder, arguments)
        for name in ("labels.csv", "csv/metrics.csv"):
            whole, broken = (at / "run" / name for at in (place / "whole", folder))
            found[f"DIFFERENT {name}"] += whole.exists() and not same_file(whole, broken)
        found["LEFT"] += sum(path.name.startswith(".jojoscl-") for path in folder.rglob("*"))
    print(f"{method} ({seconds:.1f} s): {dict(found)}", flush=True)
    return found["killed"] < n_kills or any(
        n for what, n in found.items() if what.startswith(("DIFFERENT", "LEFT"))
    )


def same_file(whole: Path, broken: Path) -> bool:
    return broken.exists() and filecmp.cmp(whole, broken, shallow=False)


def sweep_killed(place: Path) -> bool:
    """Kill the parent of a joblib sweep; return whether a process is left."""
    endless = ["trainer.max_epochs=100000", *QUICK, *SIMULATED[:-1]]
    sweep = ["-m", "launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1", "method=jojoscl_paper"]
    environment = os.environ | {"MARK": str(place)}
    with subprocess.Popen(
        [*COMMAND, *sweep, *endless],
        cwd=place,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as parent:
        wait_until(lambda: len(list(place.rglob("last.ckpt"))) == 2, 180)
        n_before = len(hostile.processes_with(f"MARK={place}"))
        parent.kill()
    wait_until(lambda: not hostile.processes_with(f"MARK={place}"), 20)
    left = hostile.processes_with(f"MARK={place}")
    print(f"a sweep of {n_before} processes, its parent killed: {len(left)} left", flush=True)
    return bool(left) or n_before < 3


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=150, help="of each kind of file; 0: none")
    parser.add_argument(
        "--kills", type=int, default=20, help="of each of three methods, and of a sweep; 0: none"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="kinds of file whose name has this in it")
    options = parser.parse_args()
    faulty = fuzz(options.mutations, options.workers, options.only) if options.mutations else False
    if options.kills:
        for method in METHODS:
            with tempfile.TemporaryDirectory() as place:
                faulty |= kill_and_go_on(method, options.kills, Path(place))
        with tempfile.TemporaryDirectory() as place:
            faulty |= sweep_killed(Path(place))
    sys.exit(faulty)


if __name__ == "__main__":
    main()
