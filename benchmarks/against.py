"""Time, memory and agreement against what a user would pick instead: scanpy's PCA + Leiden, and scVI + Leiden.

    python benchmarks/against.py [--cells 5000 50000 200000] [--thinned 12000 100000] [--files FILE
    ...] [--warm]

Each method reads one h5ad in a process of its own and ends with labels, and is not given K; its
seconds are those of that whole process after the start of Python, imports and reading included. The
cells are

- simulated ones x 2,000 genes of 12 types;
- `--thinned`: those of 10X PBMC, repeated, each time with half of each cell's molecules at random;
- `--files`: h5ad files of counts with types in ``obs["cell_type"]``.

With `--warm` each method runs once on the same cells before it is timed, as in a session that goes
on. Above `--up-to` cells only jojoscl is run, whose exponent of time over cells is fitted. scVI
(scvi-tools) is skipped where it is not installed; it trains for its own number of epochs, or
`--scvi-epochs`, which the table says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import psutil

from jojoscl.runner.machine import machine, peak_memory_mb

Stages = dict[str, float]


@contextmanager
def timed(stages: Stages, name: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - begin


def by_jojoscl(cells: ad.AnnData, stages: Stages, arguments: argparse.Namespace) -> np.ndarray:
    with timed(stages, "import"):
        import jojoscl

        jojoscl.JojoSCL  # noqa: B018 (what is imported when it is used)
    jojoscl.cluster(cells, seed=0)
    stages |= cells.uns["jojoscl"]["seconds"]
    return np.asarray(cells.obs["jojoscl"])


def by_scanpy(cells: ad.AnnData, stages: Stages, arguments: argparse.Namespace) -> np.ndarray:
    with timed(stages, "import"):
        import scanpy as sc
    with timed(stages, "preprocess"):
        sc.pp.normalize_total(cells)
        sc.pp.log1p(cells)
        sc.pp.highly_variable_genes(cells, n_top_genes=min(2000, cells.n_vars - 1))
    with timed(stages, "pca"):
        sc.pp.pca(cells)
    return leiden(cells, "X_pca", stages)


def by_scvi(cells: ad.AnnData, stages: Stages, arguments: argparse.Namespace) -> np.ndarray:
    with timed(stages, "import"):
        import scvi

    scvi.settings.seed = 0
    scvi.model.SCVI.setup_anndata(cells)
    model = scvi.model.SCVI(cells)
    with timed(stages, "train"):
        model.train(max_epochs=arguments.scvi_epochs, accelerator="auto", enable_progress_bar=False)
    cells.obsm["X_scvi"] = model.get_latent_representation()
    return leiden(cells, "X_scvi", stages)


def leiden(cells: ad.AnnData, representation: str, stages: Stages) -> np.ndarray:
    import scanpy as sc

    with timed(stages, "neighbors"):
        sc.pp.neighbors(cells, use_rep=representation)
    with timed(stages, "leiden"):
        sc.tl.leiden(cells, flavor="igraph", n_iterations=2, directed=False)
    return np.asarray(cells.obs["leiden"])


METHODS = {"jojoscl": by_jojoscl, "scanpy": by_scanpy, "scvi": by_scvi}


def one(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the process of one method and file prints."""
    warnings.simplefilter("ignore")
    stages: Stages = {}
    with timed(stages, "read"):
        cells = ad.read_h5ad(arguments.path)
    truth = np.asarray(cells.obs.pop("cell_type"))
    begin = psutil.Process().create_time()
    if arguments.warm:
        METHODS[arguments.one](cells.copy(), {}, arguments)
        begin = time.time()
    labels = METHODS[arguments.one](cells, stages, arguments)
    seconds, processor = time.time() - begin, time.process_time()
    peak = peak_memory_mb()
    from sklearn.metrics import adjusted_rand_score

    return {
        "cells": arguments.path.stem,
        "n_cells": len(labels),
        "method": arguments.one,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "peak_gb": round(peak / 1e3, 2),
        "n_clusters": len(np.unique(labels)),
        "ari": round(float(adjusted_rand_score(truth, labels)), 3),
        "labels": zlib.crc32(np.unique(labels, return_inverse=True)[1].tobytes()),
        "stages": {name: round(value, 2) for name, value in stages.items()},
    }


def thinned(n_cells: int) -> ad.AnnData:
    """Return `n_cells` cells of 10X PBMC, each cell of the set some times, with half of its molecules at random."""
    import scipy.sparse as sp

    import jojoscl

    cells = jojoscl.load_dataset("pbmc_10x", root=os.environ.get("JOJOSCL_DATA_ROOT", "data"))
    rng = np.random.default_rng(0)
    chosen = np.sort(np.arange(n_cells) % cells.n_obs)
    x = sp.csr_matrix(cells.X[chosen])
    x.data = rng.binomial(x.data.astype(np.int64), 0.5).astype(np.float32)
    x.eliminate_zeros()
    obs = cells.obs.iloc[chosen].reset_index(drop=True)
    obs.index = obs.index.astype(str)
    return ad.AnnData(x, obs=obs, var=cells.var)


def files(arguments: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Yield one file of cells after another; those made here are there only until the next."""
    from jojoscl import simulate

    for stem, make, sizes in (
        ("simulated", lambda n: simulate(n, 2000, 12, library_size=300), arguments.cells),
        ("pbmc_thinned", thinned, arguments.thinned),
    ):
        for n_cells in sizes:
            path = folder / f"{stem}_{n_cells}.h5ad"
            make(n_cells).write_h5ad(path)
            yield path
            path.unlink()
    yield from arguments.files


def measured(
    method: str, path: Path, threads: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", method, "--path", str(path)]
    command += ["--warm"] if arguments.warm else []
    if arguments.scvi_epochs:
        command += ["--scvi-epochs", str(arguments.scvi_epochs)]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def exponent(table: pd.DataFrame, least: int) -> float:
    """Return the slope of log seconds over log cells of jojoscl, on the simulated sets of `least` cells or more."""
    of = table[
        (table["method"] == "jojoscl")
        & table["cells"].str.startswith("simulated")
        & (table["n_cells"] >= least)
    ]
    of = of[of["threads"] == of["threads"].min()]
    return (
        float(np.polyfit(np.log(of["n_cells"]), np.log(of["seconds"]), 1)[0])
        if len(of) > 1
        else np.nan
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="*", default=[5_000, 50_000, 200_000])
    parser.add_argument("--thinned", type=int, nargs="*", default=[])
    parser.add_argument("--files", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--up-to", type=int, default=200_000)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--scvi-epochs", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments)))
        return

    methods = list(arguments.methods)
    if "scvi" in methods and find_spec("scvi") is None:
        print("scVI is skipped: scvi-tools is not installed")
        methods.remove("scvi")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in files(arguments, Path(folder)):
            small = ad.read_h5ad(path, backed="r").n_obs <= arguments.up_to
            for threads in arguments.threads:
                for method in methods:
                    if method == "jojoscl" or small:
                        rows.append(measured(method, path, threads, arguments))
                        print(json.dumps(rows[-1]), flush=True)
    table = pd.DataFrame(rows)
    for name in ("seconds", "peak_gb"):
        of = table[table["method"] == "scanpy"].set_index(["cells", "threads"])[name]
        there = pd.MultiIndex.from_frame(table[["cells", "threads"]])
        table[f"{name} / scanpy"] = (table[name] / of.reindex(there).to_numpy()).round(2)
    print(table.drop(columns="stages").to_string(index=False))
    slopes = {least: round(exponent(table, least), 2) for least in (5_000, 50_000)}
    print(
        "jojoscl's seconds grow as cells to the power "
        + ", ".join(f"{e} from {n:,}" for n, e in slopes.items())
    )
    if arguments.scvi_epochs:
        print(f"scVI was trained for {arguments.scvi_epochs} epochs only")
    if arguments.json:
        from jojoscl.utils.files import whole_file

        with whole_file(arguments.json) as path:
            found = {"machine": machine(), "scvi_epochs": arguments.scvi_epochs}
            found |= {"exponent_from": slopes, "rows": rows}
            path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
