"""Are `split_tests` and `markers` calibrated, and what do they keep? The tables of docs/splits.md.

    python -m experiments splits null       # how often one type is split
    python -m experiments splits power      # two types, nearer and nearer
    python -m experiments splits markers    # genes of clusters within one type
    python -m experiments splits real --folder DIR    # labelled h5ad files, sets of the catalogue

Each measures what results/splits/NAME.csv lacks and writes results/splits.md; without a name the
page only. Half an hour in all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import jojoscl
from experiments.measured import Unit, cells_of, grid_of, resumed
from experiments.text import Section, Shown, columns, two, write_page
from jojoscl.cells.checks import as_cells
from jojoscl.runner.machine import git_commit
from jojoscl.tools.halves import half_clusters
from jojoscl.tools.splits import tested

NULLS = {
    "Poisson": {"dispersion": 0, "dropout": 0},
    "Negative binomial, dispersion .5": {"dispersion": 0.5, "dropout": 0},
    "Negative binomial, dispersion 2": {"dispersion": 2, "dropout": 0},
    "Dispersion .5, and 10 % of counts lost": {"dispersion": 0.5, "dropout": 0.1},
    "Dispersion .5, and 40 % of counts lost": {"dispersion": 0.5, "dropout": 0.4},
}
HALVES, CIRCULAR = "Halves (`jojoscl.markers`)", "Circular (scanpy, Wilcoxon)"
NAMED = ("human_brain", "baron_mouse", "bladder", "worm_neuron", "pbmc_10x")
FEW = 50  # runs of power and markers; of null four times as many


def one_type(counts: str, seed: int) -> AnnData:
    """Return 300 cells of one type."""
    return jojoscl.simulate(300, 500, 1, seed=seed, **NULLS[counts])


def kept(adata: AnnData, k: int, seed: int, **settings: object) -> pd.DataFrame:
    """Return the table of split_tests of `k` clusters."""
    adata.obs["asked"] = [str(i % k) for i in range(adata.n_obs)]  # only their number counts
    return jojoscl.split_tests(adata, "asked", method=jojoscl.JojoSCL(**settings), seed=seed)


def measure_null(counts: str, k: int) -> pd.DataFrame:
    """Return the share of runs in which one type is split, which should be the level or less."""
    found = [kept(one_type(counts, seed), k, seed, n_draws=1) for seed in range(4 * FEW)]
    least = np.array([table["p_adjusted"].min() for table in found])
    row = {"split_5": np.mean(least <= 0.05), "split_1": np.mean(least <= 0.01)}
    row["root"] = np.median([table["p_adjusted"].iloc[0] for table in found])
    return pd.DataFrame([row])


def measure_power(sd: float) -> pd.DataFrame:
    """Return how often two types are told apart, and how well a half's clusters agree with them."""
    split, ari = [], []
    for seed in range(FEW):
        how = {"fold_change_sd": sd, "type_sizes": [1, 1], "dropout": 0}
        adata = jojoscl.simulate(300, 500, 2, **how, seed=seed)
        method = jojoscl.JojoSCL(n_draws=1)  # the types only lend the clusters their names
        how = {"n_clusters": 2, "method": method, "layer": None, "kind": "auto"}
        half = half_clusters(adata, "cell_type", **how, seed=seed)
        split.append(bool(tested(half, 0.05)[0]["kept"][0]))
        ari.append(adjusted_rand_score(adata.obs["cell_type"], half.labels))
    return pd.DataFrame([{"split_5": np.mean(split), "ari": np.mean(ari)}])


def measure_markers(counts: str) -> pd.DataFrame:
    """Return the share of genes at p < .01, and of runs with any marker at 5 %, a row a way.

    The latter after Benjamini's and Hochberg's correction.
    """
    rows = []
    for seed in range(FEW):
        adata = one_type(counts, seed)
        jojoscl.cluster(adata, 3, n_draws=1)
        by_halves = jojoscl.markers(adata, method=jojoscl.JojoSCL(n_draws=1), seed=seed)
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
        sc.tl.rank_genes_groups(adata, "jojoscl", method="wilcoxon")
        circular = sc.get.rank_genes_groups_df(adata, None)
        for way, table in ((HALVES, by_halves), (CIRCULAR, circular)):
            small, some = (table["pvals"] < 0.01).mean(), (table["pvals_adj"] < 0.05).any()
            rows.append({"way": way, "small": small, "some": float(some)})
    return pd.DataFrame(rows).groupby("way", sort=False).mean().reset_index()


def measure_real(folder: Path | None, data: str) -> pd.DataFrame:
    """Return how many clusters are kept: of as many as types, twice as many, and of one type."""
    try:
        cells = as_cells(cells_of(data, folder), label_key="cell_type")
        types = cells.obs["cell_type"].value_counts()
        largest = cells[cells.obs["cell_type"] == types.index[0]].copy()
        parts = ((cells, len(types)), (cells, 2 * len(types)), (largest, 2))
        left = [1 + kept(part, k, 0)["kept"].sum() for part, k in parts]
    except jojoscl.UserError as error:
        print(f"{data}: {error}")
        return pd.DataFrame()
    names = ["n_cells", "n_types", "kept", "kept_of_twice", "of_largest"]
    return pd.DataFrame([[cells.n_obs, len(types), *left]], columns=names)


def units(study: str, folder: Path | None) -> list[Unit]:
    """Return what the rows of a study are measured from."""
    files = sorted(path.stem for path in folder.glob("*.h5ad")) if folder else []
    return {
        "null": grid_of(counts=NULLS, k=[2, 5]),
        "power": grid_of(sd=[0.3, 0.5, 0.6, 0.7, 0.8, 1.0, 1.5]),
        "markers": grid_of(counts=list(NULLS)[:2]),
        "real": grid_of(data=[*files, *(name for name in NAMED if name not in files)]),
    }[study]


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def tenths(value: float) -> str:
    return f"{100 * value:.1f} %"


STUDIES: dict[str, tuple[str, Callable[..., pd.DataFrame], Shown]] = {
    "null": ("One type", measure_null, {
        "counts": (f"One type of 300 cells, 500 genes, {4 * FEW} runs", str), "k": ("K", str),
        "split_5": ("Split at 5 %", tenths), "split_1": ("Split at 1 %", tenths),
        "root": ("Median p of the root", two),
    }),
    "power": ("Two types", measure_power, {
        "sd": (f"Fold change (sd of its log) of two types, {FEW} runs", str),
        "split_5": ("Split at 5 %", percent), "ari": ("ARI of the half's clusters", two),
    }),
    "markers": ("Markers", measure_markers, {
        "counts": (f"One type of 300 cells, 500 genes, K = 3, {FEW} runs", str),
        "way": ("Way", str), "small": ("p < .01", tenths),
        "some": ("Runs with a marker at 5 %", percent),
    }),
    "real": ("Real sets", measure_real, {
        "data": ("Set", str), "n_cells": ("Cells", str), "n_types": ("Types", str),
        "kept": ("Kept of as many", str), "kept_of_twice": ("Kept of twice as many", str),
        "of_largest": ("Of the largest type alone, of 2", str),
    }),
}  # fmt: skip
OPTIONS = {
    "study": {"nargs": "?", "choices": STUDIES, "help": "what to measure"},
    "--folder": {"type": Path, "help": "labelled h5ad files, for `real`"},
}


def with_totals(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of real sets with how many clusters there were beside those kept."""
    for name, times in (("kept", 1), ("kept_of_twice", 2)) if "kept" in table else ():
        table[name] = table[name].astype(str) + " of " + (times * table["n_types"]).astype(str)
    return table


def make(
    results: Path, figures: Path, study: str | None = None, folder: Path | None = None
) -> None:
    """Measure what the table of a study lacks, and write the page of all."""
    place = results / "splits"
    if study is not None:
        where = {"folder": folder} if study == "real" else {}

        def measure(**unit: Any) -> pd.DataFrame:
            return STUDIES[study][1](**where, **unit).round(4).assign(git_commit=git_commit())

        resumed(place / f"{study}.csv", units(study, folder), measure)
    shows = []
    for name, (title, _, shown) in STUDIES.items():
        if (path := place / f"{name}.csv").exists():
            table = columns(with_totals(pd.read_csv(path)), shown)
            shows.append(Section(title, table, f"Rows: `splits/{path.name}`."))
    write_page(shows, place, "splits")
