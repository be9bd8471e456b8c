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
import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import psutil
import scipy.sparse as sp
from against import by_scanpy, leiden, preprocess
from common import chosen, files, measured, methods, one_method

from jojoscl.runner.machine import git_commit, machine

RARE, N_LARGE = (30, 60, 150, 400, 1000), 8
RESULTS = Path(__file__).parent / "results" / "rare.csv"
SAME = ["cells", "n_cells", "method", "threads", "seed"]  # tell a run from others


def by_jojoscl(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    import jojoscl

    given = arguments.n_types if arguments.one == "jojoscl_k" else None
    jojoscl.cluster(cells, given, seed=arguments.seed)
    return np.asarray(cells.obs["jojoscl"])


def whole(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    return by_scanpy(cells.to_memory() if cells.isbacked else cells, {}, arguments)


def by_sketch(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    """Cluster cells drawn by leverage scores; others take the label of most neighbors."""
    import scanpy as sc
    from sklearn.neighbors import KNeighborsClassifier

    preprocess(cells)
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
    """Return the leverage scores (n,) of the rows of x (n, g): squared lengths of the rows of U."""
    of_genes = (x.T @ x).toarray().astype(np.float64)
    values, vectors = np.linalg.eigh(of_genes)
    kept = values > 1e-9 * values[-1]
    root = vectors[:, kept] / np.sqrt(values[kept])  # (g, r)
    bands = (x[start : start + 4096] @ root for start in range(0, x.shape[0], 4096))
    return np.concatenate([np.square(band).sum(1) for band in bands])


METHODS = {"jojoscl_k": by_jojoscl, "jojoscl": by_jojoscl, "scanpy": whole, "sketch": by_sketch}


def one(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what the process of one method and file prints: a row a rare type."""
    warnings.simplefilter("ignore")
    backed = arguments.backed_above < ad.read_h5ad(arguments.path, backed="r").n_obs
    in_file = backed and arguments.one.startswith("jojoscl")
    cells = ad.read_h5ad(arguments.path, backed="r" if in_file else None)
    truth = np.asarray(cells.obs.pop("cell_type").astype(str))
    rare = [str(name) for name in cells.uns["rare"]]
    types = np.unique(truth).tolist()
    arguments.n_types = len(types)
    labels = METHODS[arguments.one](cells, arguments)
    run = measured(arguments, truth, labels, psutil.Process().create_time())
    run["n_types"] = len(types)
    from jojoscl.core.metrics import best_clusters

    found, rows = best_clusters(truth, labels), []
    for name in rare:
        n, recall, precision = found[types.index(name)]
        f1 = 2 * recall * precision / (recall + precision)
        shares = {"recall": recall, "precision": precision, "f1": f1}
        rounded = {key: round(float(value), 3) for key, value in shares.items()}
        rows.append(run | {"n_type": int(n), **rounded, "type": name})
    return rows


def simulated(n_cells: int, seed: int) -> ad.AnnData:
    """Return 8 large types of like sizes, and the rare ones."""
    from jojoscl import simulate

    sizes = [(n_cells - sum(RARE)) / N_LARGE] * N_LARGE + list(RARE)
    cells = simulate(n_cells, 1000, len(sizes), type_sizes=sizes, seed=seed)
    uns = {"rare": list(cells.obs["cell_type"].cat.categories[N_LARGE:])}
    return ad.AnnData(cells.X, obs=cells.obs[["cell_type"]], var=cells.var, uns=uns)


def parted(source: str, rare: str, share: float, parts: int, seed: int) -> ad.AnnData:
    """Return the cells of a set in some parts, each with its own molecules; one type is rare."""
    import jojoscl

    in_file = source.endswith(".h5ad")
    cells = ad.read_h5ad(source) if in_file else jojoscl.load_dataset(source)
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


def show(rows: list[dict[str, Any]]) -> None:
    texts = [f"{row['n_type']}: {row['recall']:.2f}/{row['precision']:.2f}" for row in rows]
    what = "{cells} {method}: K {n_clusters} ARI {ari:.3f} {seconds:.0f} s {peak_gb:.2f} GB"
    print(f"{what.format(**rows[0])}  recall/precision {', '.join(texts)}", flush=True)


def keep(rows: list[dict[str, Any]], path: Path) -> None:
    """Add rows to a CSV; rows of the same cells, method, threads and seed are replaced."""
    table = pd.DataFrame(rows)
    if path.exists():
        old = pd.read_csv(path, dtype=str, keep_default_na=False)
        same = (old[SAME] == table[SAME].iloc[0].astype(str)).all(axis=1)
        table = pd.concat([old[~same], table])
    table.to_csv(path, index=False)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cells", type=int, nargs="*", default=[20_000, 100_000])
    options.add_argument("--real", nargs="*", default=[], help="FILE:TYPE")
    options.add_argument("--parts", type=int, default=8, help="of each cell of a real set")
    options.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.003, 0.001])
    options.add_argument("--sketch", type=int, default=5000, help="cells, as in Seurat")
    options.add_argument("--backed-above", type=int, default=500_000, help="cells stay in the file")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--seed", type=int, default=0, help="of the cells and of jojoscl")
    options.add_argument("--csv", type=Path, help=f"such as {RESULTS}; rows of earlier runs stay")
    methods(options, METHODS, up_to=300_000)
    arguments = options.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments)))
        return
    makes = {f"simulated_{n}": partial(simulated, n, arguments.seed) for n in arguments.cells}
    for pair in arguments.real:
        source, _, rare = pair.partition(":")
        for share in arguments.shares:
            how = partial(parted, source, rare, share, arguments.parts, arguments.seed)
            makes[f"{Path(source).stem}_{share:g}"] = how
    about = {"seed": arguments.seed, "machine": machine(), "commit": git_commit()}
    for path in files(makes):
        for method in chosen(arguments, path):
            rows = [row | about for row in one_method(method, path, arguments.threads)]
            show(rows)
            if arguments.csv:
                keep(rows, arguments.csv)


if __name__ == "__main__":
    main()
