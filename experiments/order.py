"""How far labels move when nothing changes but seed, order of cells or genes, or threads.

    python -m experiments order --data human_brain pollen --methods jojoscl leiden_matched

measures the sets that results/order.csv lacks and writes order.md beside it; without --data the
page only. With --folder a set is read from DIR/NAME.h5ad where there is one. K is given.
OpenBLAS of an older processor: its kernels for AVX2, by OPENBLAS_CORETYPE.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from experiments.measured import cells_of, grid_of, method_of, resumed
from experiments.text import Section, number, write_page
from jojoscl.cells.checks import as_cells, without_labels
from jojoscl.runner.machine import git_commit, machine

METHODS = ("jojoscl", "leiden_matched", "seurat_matched", "pca_kmeans")
CHANGES = {
    "seed": "Seeds",
    "cells": "Shuffled cells",
    "genes": "Shuffled genes",
    "threads": "Two threads",
    "blas": "OpenBLAS of an older processor",
}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
PROCESSES = {
    "": dict.fromkeys(THREADS, "1"),
    "threads": dict.fromkeys(THREADS, "2"),
    "blas": dict.fromkeys(THREADS, "1") | {"OPENBLAS_CORETYPE": "Haswell"},
}
OPTIONS = {
    "--data": {"nargs": "+", "default": (), "help": "sets to measure, names as in conf/data"},
    "--methods": {"nargs": "+", "default": METHODS, "help": "names as in conf/method"},
    "--folder": {"type": Path, "help": "folder of labelled h5ad files"},
    "--draws": {"type": int, "default": 5, "help": "seeds, and orders of the cells"},
}


def labels_of(adata: AnnData, method: str, k: int, seed: int) -> np.ndarray:
    """Return the labels (n,) of cells by a method."""
    found = method_of(method).fit_predict(without_labels(adata), k, seed=seed)
    return np.asarray(found.labels)


@functools.cache
def process(name: str) -> ProcessPoolExecutor:
    """Return a process with the environment PROCESSES[name]; libraries read it as they start."""
    with patch.dict(os.environ, PROCESSES[name]):
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        pool.submit(os.getpid).result()  # starts it
    return pool


def changes(draws: int) -> Iterator[tuple[str, int]]:
    """Yield what is changed, and its number; the first is nothing: seed 0."""
    yield from (("seed", draw) for draw in range(draws))
    yield from (("cells", draw) for draw in range(1, draws + 1))
    yield from (("genes", 1), ("threads", 2), ("blas", 1))


def measure(data: str, method: str, folder: Path | None, draws: int) -> pd.DataFrame:
    """Return a row a change: ARI with the types, and with the labels of seed 0."""
    adata = as_cells(cells_of(data, folder), label_key="cell_type")
    types = adata.obs["cell_type"].astype(str).to_numpy()
    k, first, rows = len(set(types)), np.array([]), []
    for change, draw in changes(draws):
        rng, cells, genes = np.random.default_rng(draw), np.arange(adata.n_obs), slice(None)
        if change == "cells":
            cells = rng.permutation(adata.n_obs)
        if change == "genes":
            genes = rng.permutation(adata.n_vars)
        where, seed = change if change in PROCESSES else "", draw if change == "seed" else 0
        given = adata[cells, genes].copy(), method, k, seed
        found = process(where).submit(labels_of, *given).result()
        labels = np.empty_like(found)
        labels[cells] = found
        first = first if len(first) else labels
        scores = (adjusted_rand_score(of, labels) for of in (types, first))
        rows.append((change, draw, *scores))
    table = pd.DataFrame(rows, columns=["change", "draw", "ari", "same"]).round(4)
    return table.assign(git_commit=git_commit(), machine=machine())


def moved(table: pd.DataFrame) -> Section:
    """Return how far the labels of each method move, means over sets."""
    others = table[(table["change"] != "seed") | (table["draw"] > 0)]
    means = others.groupby(["method", "change", "data"])["same"].mean()
    means = means.groupby(["method", "change"]).mean().unstack()
    names = [name for name in METHODS if name in means.index]
    shown = means.reindex(index=names, columns=list(CHANGES)).map(number).rename(columns=CHANGES)
    shown.insert(0, "Method", [f"`{name}`" for name in names])
    n = table["data"].nunique()
    note = f"ARI of the labels with those of seed 0, mean over {n} sets: 1 is no change."
    return Section("How far labels move", shown, note)


def spread(table: pd.DataFrame, method: str) -> Section:
    """Return mean, median and range of the ARI with the types, a row a set."""
    rows = []
    for data, group in table[table["method"] == method].groupby("data"):
        rows.append([f"`{data}`"])
        for change in ("seed", "cells"):
            ari = group.loc[group["change"] == change, "ari"]
            mean, sd, median, low, high = (
                number(ari.agg(what)) for what in ("mean", "std", "median", "min", "max")
            )
            rows[-1] += [f"{mean} ± {sd}", f"{median} ({low} to {high})"]
    titles = [f"{what}: mean ± sd" for what in ("Seeds", "Shuffled cells")]
    header = ["Set", titles[0], "median (range)", titles[1], "median (range)"]
    return Section(f"ARI of {method} with the types", pd.DataFrame(rows, columns=header))


def make(
    results: Path,
    figures: Path,
    data: Sequence[str] = (),
    methods: Sequence[str] = METHODS,
    folder: Path | None = None,
    draws: int = 5,
) -> None:
    """Measure what the table lacks, and write its page."""
    source = results / "order.csv"
    measured = functools.partial(measure, folder=folder, draws=draws)
    table = resumed(source, grid_of(data=data, method=methods), measured)
    known = [name for name in METHODS if name in set(table["method"])]
    write_page([moved(table), *(spread(table, name) for name in known)], source, "order")
