"""How well rare types among many cells are found: recall and precision of each one's best cluster.

    python benchmarks/rare.py [--cells 20000 100000] [--real kang.h5ad:"NK cells" ...] [--csv FILE]

`--cells` simulates that many cells x 1,000 genes: 5 types of 30, 60, 150, 400 and 1,000 cells and 8
large ones of like sizes. `--real FILE:TYPE` takes an h5ad of counts (types in
``obs["cell_type"]``), or a benchmark set by name. Each molecule of a cell goes to one of `--parts`
cells at random, so that parts of a cell have no molecule in common; random cells of TYPE are left
out, so that it becomes as rare as `--shares` say, one after another. Parts have few molecules, and
those of a cell are still more alike than cells are.

jojoscl_k is given the number of types, jojoscl is not. scanpy is normalize, log, 2,000 genes, PCA,
neighbors and Leiden, with its defaults. sketch is the same on `--sketch` cells, drawn by leverage
scores as Seurat v5 draws them (here exact ones); each other cell takes the label of most of its 15
nearest sketched ones in PCA. All run in processes of their own; seconds are those of the whole
process after the start of Python.

The best cluster of a type has the highest F1. A row of the CSV is one rare type by one method.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import psutil
import scipy.sparse as sp
from against import by_scanpy, leiden

from jojoscl.runner.machine import machine, peak_memory_mb

RARE, N_LARGE = (30, 60, 150, 400, 1000), 8
RESULTS = Path(__file__).parent / "results" / "rare.csv"


def by_jojoscl(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    import jojoscl

    given = arguments.n_types if arguments.one == "jojoscl_k" else None
    jojoscl.cluster(cells, given, seed=arguments.seed)
    return np.asarray(cells.obs["jojoscl"])


def whole(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    return by_scanpy(cells.to_memory() if cells.isbacked else cells, {}, arguments)


def by_sketch(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    """Cluster cells drawn by leverage scores; the others take the label of most of their neighbors."""
    import scanpy as sc
    from sklearn.neighbors import KNeighborsClassifier

    sc.pp.normalize_total(cells)
    sc.pp.log1p(cells)
    sc.pp.highly_variable_genes(cells, n_top_genes=min(2000, cells.n_vars - 1))
    x = sp.csr_matrix(cells.X[:, cells.var["highly_variable"].to_numpy()])
    score = leverage(x)
    size = min(arguments.sketch, cells.n_obs)
    drawn = np.random.default_rng(0).choice(cells.n_obs, size, replace=False, p=score / score.sum())
    sketch = ad.AnnData(x[drawn])
    sc.pp.pca(sketch)
    labels = leiden(sketch, "X_pca", {})
    mean, axes = np.asarray(x[drawn].mean(0)), sketch.varm["PCs"]
    scores = x @ axes - mean @ axes  # (n, 50)
    model = KNeighborsClassifier(15).fit(scores[drawn], labels)
    found = model.predict(scores)
    found[drawn] = labels
    return np.asarray(found)


def leverage(x: sp.csr_matrix) -> np.ndarray:
    """Return the leverage score (n,) of each row of x (n, g): the squared length of its row of U."""
    of_genes = (x.T @ x).toarray().astype(np.float64)
    values, vectors = np.linalg.eigh(of_genes)
    kept = values > 1e-9 * values[-1]
    root = vectors[:, kept] / np.sqrt(values[kept])  # (g, r)
    bands = (x[start : start + 4096] @ root for start in range(0, x.shape[0], 4096))
    return np.concatenate([np.square(band).sum(1) for band in bands])


METHODS = {
    "jojoscl_k": by_jojoscl,
    "jojoscl": by_jojoscl,
    "scanpy": whole,
    "sketch": by_sketch,
}


def one(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what the process of one method and file prints: a row a rare type."""
    warnings.simplefilter("ignore")
    backed = arguments.backed_above < ad.read_h5ad(arguments.path, backed="r").n_obs
    in_file = backed and arguments.one.startswith("jojoscl")
    cells = ad.read_h5ad(arguments.path, backed="r" if in_file else None)
    truth = np.asarray(cells.obs.pop("cell_type"))
    rare = [str(name) for name in cells.uns["rare"]]
    arguments.n_types = len(np.unique(truth))
    labels = METHODS[arguments.one](cells, arguments)
    seconds, processor = time.time() - psutil.Process().create_time(), time.process_time()
    peak = peak_memory_mb()
    from sklearn.metrics import adjusted_rand_score

    run = {
        "cells": arguments.path.stem,
        "n_cells": len(labels),
        "method": arguments.one,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "peak_gb": round(peak / 1e3, 2),
        "n_types": arguments.n_types,
        "n_clusters": len(np.unique(labels)),
        "ari": round(float(adjusted_rand_score(truth, labels)), 3),
    }
    return [run | best_cluster(labels, truth == name) | {"type": name} for name in rare]


def best_cluster(labels: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Return size of a type, recall and precision of its best cluster, and their F1.

    >>> best_cluster(np.array([0, 0, 1, 1, 1]), np.array([True, True, True, False, False]))
    {'n_type': 3, 'recall': 0.667, 'precision': 1.0, 'f1': 0.8}
    """
    names, codes = np.unique(labels, return_inverse=True)
    both, sizes = np.bincount(codes, inside, len(names)), np.bincount(codes)
    f1 = 2 * both / (sizes + inside.sum())
    best = f1.argmax()
    return {
        "n_type": int(inside.sum()),
        "recall": round(float(both[best] / inside.sum()), 3),
        "precision": round(float(both[best] / sizes[best]), 3),
        "f1": round(float(f1[best]), 3),
    }


def simulated(n_cells: int, seed: int) -> ad.AnnData:
    """Return 8 large types of like sizes, and the rare ones."""
    from jojoscl import simulate

    sizes = [(n_cells - sum(RARE)) / N_LARGE] * N_LARGE + list(RARE)
    cells = simulate(n_cells, 1000, len(sizes), type_sizes=sizes, seed=seed)
    rare = cells.obs["cell_type"].cat.categories[N_LARGE:]
    return ad.AnnData(
        cells.X, obs=cells.obs[["cell_type"]], var=cells.var, uns={"rare": list(rare)}
    )


def parted(source: str, rare: str, share: float, parts: int, seed: int) -> ad.AnnData:
    """Return the cells of a set in some parts, each with its own molecules; one type is rare."""
    import jojoscl

    root = os.environ.get("JOJOSCL_DATA_ROOT", "data")
    named = not source.endswith(".h5ad")
    cells = jojoscl.load_dataset(source, root=root) if named else ad.read_h5ad(source)
    inside = np.asarray(cells.obs["cell_type"] == rare)
    if not inside.any():
        known = ", ".join(sorted(set(cells.obs["cell_type"].astype(str))))
        raise SystemExit(f"{source} has no type {rare!r}, but {known}")
    rng, rest, made = np.random.default_rng(seed), sp.csr_matrix(cells.X, dtype=np.int64), []
    for left in range(parts, 0, -1):
        part = rest.copy()
        part.data = rng.binomial(rest.data, 1 / left)
        rest.data -= part.data
        made.append(part.astype(np.float32))
    x, inside = sp.vstack(made, format="csr"), np.tile(inside, parts)
    x.eliminate_zeros()
    some = x.getnnz(1) > 0
    others, of_type = np.flatnonzero(~inside & some), np.flatnonzero(inside & some)
    n_rare = round(share / (1 - share) * len(others))
    rows = rng.permutation(np.r_[others, rng.choice(of_type, n_rare, replace=False)])
    obs = cells.obs[["cell_type"]].iloc[rows % cells.n_obs].reset_index(drop=True)
    obs.index = obs.index.astype(str)
    return ad.AnnData(x[rows], obs=obs, var=cells.var[[]], uns={"rare": [rare]})


def files(arguments: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Yield one file of cells after another; each is there only until the next."""
    makes = {f"simulated_{n}": lambda n=n: simulated(n, arguments.seed) for n in arguments.cells}
    for pair in arguments.real:
        source, _, rare = pair.partition(":")
        for share in arguments.shares:
            how = (source, rare, share, arguments.parts, arguments.seed)
            makes[f"{Path(source).stem}_{share:g}"] = lambda how=how: parted(*how)
    for stem, make in makes.items():
        path = folder / f"{stem}.h5ad"
        make().write_h5ad(path)
        yield path
        path.unlink()


def measured(method: str, path: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--one", method, "--path", str(path)]
    for name in ("sketch", "backed_above", "seed"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(arguments.threads))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    from jojoscl.runner.machine import git_commit  # slow to import, and no method needs it

    found = {"seed": arguments.seed, "machine": machine(), "commit": git_commit()}
    return [row | found for row in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="*", default=[20_000, 100_000])
    parser.add_argument("--real", nargs="*", default=[], help="FILE:TYPE")
    parser.add_argument("--parts", type=int, default=8, help="of each cell of a real set")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.003, 0.001])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sketch", type=int, default=5000, help="cells, as in Seurat")
    parser.add_argument("--up-to", type=int, default=300_000, help="above, jojoscl alone is run")
    parser.add_argument("--backed-above", type=int, default=500_000, help="cells stay in the file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the cells and of jojoscl")
    parser.add_argument("--csv", type=Path, help=f"such as {RESULTS}; rows of earlier runs stay")
    parser.add_argument("--one", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in files(arguments, Path(folder)):
            few = ad.read_h5ad(path, backed="r").n_obs <= arguments.up_to
            for method in arguments.methods:
                if few or method.startswith("jojoscl"):
                    rows = measured(method, path, arguments)
                    show(rows)
                    if arguments.csv:
                        keep(rows, arguments.csv)


def show(rows: list[dict[str, Any]]) -> None:
    run = rows[0]
    types = ", ".join(
        f"{row['n_type']}: {row['recall']:.2f}/{row['precision']:.2f}" for row in rows
    )
    print(
        f"{run['cells']} {run['method']}: K {run['n_clusters']} ARI {run['ari']:.3f} "
        f"{run['seconds']:.0f} s {run['peak_gb']:.2f} GB  recall/precision {types}",
        flush=True,
    )


def keep(rows: list[dict[str, Any]], path: Path) -> None:
    """Add rows to a CSV; rows of the same cells, method, threads and seed are replaced."""
    same = ("cells", "n_cells", "method", "threads", "seed")
    new = {tuple(str(rows[0][name]) for name in same)}
    old = list(csv.DictReader(path.open())) if path.exists() else []
    kept = [row for row in old if tuple(row[name] for name in same) not in new]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*kept, *rows])


if __name__ == "__main__":
    main()
