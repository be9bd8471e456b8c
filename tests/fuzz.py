"""Damaged files and killed runs: `python -m tests.fuzz [--mutations 500] [--kills 20]`.

Seeded, so that a fault repeats. A damaged file gives cells or one sentence; a fault is a traceback
or the death of the process that reads it. A killed run gives the result of an unbroken one.
"""

import argparse
import filecmp
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tests import hostile
from tests.datasets.test_fuzz import FORMATS, outcome

SECONDS = 60  # for a command to make its folder


# ---- damage --------------------------------------------------------------------------------------


def read_damaged(name: str, number: int) -> str:
    """Damage a file of one format by the way that `number` stands for; return what is said."""
    warnings.simplefilter("ignore")
    write, file, backed = FORMATS[name]
    rng = np.random.default_rng(number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        write(path)
        if number % 2 and "dense" not in name and name != "h5":
            hostile.indices_changed(path, rng)
        else:
            content, places = path.read_bytes(), hostile.stretches(path)
            path.write_bytes(hostile.damaged(content, places, rng))
        return outcome(path, backed)


def fuzz(n_mutations: int) -> bool:
    """Print the outcomes of each format; return whether one is a fault."""
    faulty = False
    for name in FORMATS:
        with ProcessPoolExecutor(1, get_context("forkserver")) as pool:
            jobs = [pool.submit(read_damaged, name, i) for i in range(n_mutations)]
        found = Counter(repr(job.exception()) if job.exception() else job.result() for job in jobs)
        print(f"{name}: {dict(found)}", flush=True)
        faulty |= not found.keys() <= {"read", "refused"}
    return faulty


# ---- kills ---------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-c", "from jojoscl.runner.cli import main; main()"]
SIMULATED = [
    "data=simulated", "data.n_cells=300", "data.n_genes=200", "pictures=false",
    "hydra.run.dir=run",
]  # fmt: skip
QUICK = [
    "trainer.progress_bar=false", "trainer.checkpoint_seconds=0", "trainer.accelerator=cpu",
]  # fmt: skip
METHODS = {"jojoscl": 20, "jojoscl_paper": 30, "sccl": 30}  # epochs


def started(folder: Path, arguments: Iterable[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    out = subprocess.DEVNULL
    return subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=out, stderr=out)


def run_whole(folder: Path, arguments: Iterable[str]) -> float:
    """Run the command to its end; return the seconds from the making of its run folder on."""
    process = started(folder, arguments)
    hostile.wait_until(lambda: (folder / "run").exists() or process.poll() is not None, SECONDS)
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
        hostile.wait_until((folder / "run").exists, SECONDS)
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
    command, none = [*COMMAND, *sweep, *endless], subprocess.DEVNULL
    with subprocess.Popen(command, cwd=place, env=environment, stdout=none, stderr=none) as parent:
        hostile.wait_until(lambda: len(list(place.rglob("last.ckpt"))) == 2, 180)
        n_before = len(hostile.processes_with(f"MARK={place}"))
        parent.kill()
    hostile.wait_until(lambda: not hostile.processes_with(f"MARK={place}"), 20)
    left = hostile.processes_with(f"MARK={place}")
    print(f"a sweep of {n_before} processes, its parent killed: {len(left)} left", flush=True)
    return bool(left) or n_before < 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=500, help="of each kind of file; 0: none")
    parser.add_argument("--kills", type=int, default=20, help="of each of three methods; 0: none")
    options = parser.parse_args()
    faulty = fuzz(options.mutations)
    if options.kills:
        for method in METHODS:
            with tempfile.TemporaryDirectory() as place:
                faulty |= kill_and_go_on(method, options.kills, Path(place))
        with tempfile.TemporaryDirectory() as place:
            faulty |= sweep_killed(Path(place))
    sys.exit(faulty)


if __name__ == "__main__":
    main()
