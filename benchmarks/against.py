"""Time, memory and agreement beside what a user would pick instead: PCA or scVI, and Leiden.

    python benchmarks/against.py [--cells 5000 50000 200000] [--thinned 12000 100000]
        [--files FILE ...] [--warm]

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
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import psutil
from common import chosen, files, measured, methods, one_method, parser, write_json

from jojoscl.runner.machine import machine

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
        preprocess(cells)
    with timed(stages, "pca"):
        sc.pp.pca(cells)
    return leiden(cells, "X_pca", stages)


def preprocess(cells: ad.AnnData) -> None:
    """Normalize, take logarithms and choose genes, as scanpy does it."""
    import scanpy as sc

    sc.pp.normalize_total(cells)
    sc.pp.log1p(cells)
    sc.pp.highly_variable_genes(cells, n_top_genes=min(2000, cells.n_vars - 1))


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


def one(arguments: argparse.Namespace) -> dict[str, object]:
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
    found = measured(arguments, truth, labels, begin)
    found["labels"] = zlib.crc32(np.unique(labels, return_inverse=True)[1].tobytes())
    return found | {"stages": {name: round(value, 2) for name, value in stages.items()}}


def simulated(n_cells: int) -> ad.AnnData:
    """Return simulated cells of 12 types."""
    from jojoscl import simulate

    return simulate(n_cells, 2000, 12, library_size=300)


def thinned(n_cells: int) -> ad.AnnData:
    """Return cells of 10X PBMC, repeated, each time with half of a cell's molecules at random."""
    import scipy.sparse as sp

    import jojoscl

    cells = jojoscl.load_dataset("pbmc_10x")
    rng = np.random.default_rng(0)
    chosen = np.sort(np.arange(n_cells) % cells.n_obs)
    x = sp.csr_matrix(cells.X[chosen])
    x.data = rng.binomial(x.data.astype(np.int64), 0.5).astype(np.float32)
    x.eliminate_zeros()
    obs = cells.obs.iloc[chosen].reset_index(drop=True)
    obs.index = obs.index.astype(str)
    return ad.AnnData(x, obs=obs, var=cells.var)


def all_files(arguments: argparse.Namespace) -> Iterator[Path]:
    """Yield one file of cells after another; those made here are there only until the next."""
    makes = {f"simulated_{n}": partial(simulated, n) for n in arguments.cells}
    makes |= {f"pbmc_thinned_{n}": partial(thinned, n) for n in arguments.thinned}
    yield from files(makes)
    yield from arguments.files


def exponent(table: pd.DataFrame, least: int) -> float:
    """Return the slope of log seconds over log cells of jojoscl, from `least` simulated cells."""
    of = table[table["cells"].str.startswith("simulated") & (table["n_cells"] >= least)]
    of = of[(of["method"] == "jojoscl") & (of["threads"] == of["threads"].min())]
    logs = np.log(of[["n_cells", "seconds"]].to_numpy())
    return round(float(np.polyfit(*logs.T, 1)[0]), 2) if len(of) > 1 else np.nan


def show(table: pd.DataFrame, slopes: dict[int, float]) -> None:
    """Print the table with ratios to scanpy, and how time grows."""
    there = pd.MultiIndex.from_frame(table[["cells", "threads"]])
    for name in ("seconds", "peak_gb"):
        of = table[table["method"] == "scanpy"].set_index(["cells", "threads"])[name]
        table[f"{name} / scanpy"] = (table[name] / of.reindex(there).to_numpy()).round(2)
    print(table.drop(columns="stages").to_string(index=False))
    texts = ", ".join(f"{slope} from {n:,}" for n, slope in slopes.items())
    print(f"jojoscl's seconds grow as cells to the power {texts}")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--cells", type=int, nargs="*", default=[5_000, 50_000, 200_000])
    options.add_argument("--thinned", type=int, nargs="*", default=[])
    options.add_argument("--files", type=Path, nargs="*", default=[])
    options.add_argument("--threads", type=int, nargs="+", default=[1])
    options.add_argument("--warm", action="store_true")
    options.add_argument("--scvi-epochs", type=int)
    methods(options, METHODS, up_to=200_000)
    arguments = options.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments)))
        return
    if "scvi" in arguments.methods and find_spec("scvi") is None:
        print("scVI is skipped: scvi-tools is not installed")
        arguments.methods.remove("scvi")
    rows = []
    for path in all_files(arguments):
        for threads in arguments.threads:
            for method in chosen(arguments, path):
                rows.append(one_method(method, path, threads))
                print(json.dumps(rows[-1]), flush=True)
    table = pd.DataFrame(rows)
    slopes = {least: exponent(table, least) for least in (5_000, 50_000)}
    show(table, slopes)
    if arguments.scvi_epochs:
        print(f"scVI was trained for {arguments.scvi_epochs} epochs only")
    found = {"machine": machine(), "scvi_epochs": arguments.scvi_epochs}
    write_json(arguments.json, found | {"exponent_from": slopes, "rows": rows}, indent=1)


if __name__ == "__main__":
    main()
