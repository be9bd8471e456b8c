"""Is `jojoscl.split_tests` calibrated, and what does it keep? The tables of docs/splits.md.

python benchmarks/splits.py [FOLDER of h5ad files with obs["cell_type"]] > splits.md
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.cells.checks import as_cells
from jojoscl.tools.splits import half_clusters, tested

RUNS = 200
NULLS = {
    "Poisson": {"dispersion": 0, "dropout": 0},
    "Negative binomial, dispersion .5": {"dispersion": 0.5, "dropout": 0},
    "Negative binomial, dispersion 2": {"dispersion": 2, "dropout": 0},
    "Dispersion .5, and 10 % of counts lost": {"dispersion": 0.5, "dropout": 0.1},
    "Dispersion .5, and 40 % of counts lost": {"dispersion": 0.5, "dropout": 0.4},
}
NAMED = ("yan", "human_brain", "baron_mouse", "bladder", "worm_neuron", "pbmc_10x")
MOST_CELLS = 20_000


def tables(
    adata: anndata.AnnData, k: int, seed: int, **settings: object
) -> tuple[list[float], int]:
    """Return the adjusted p values, and how many clusters are kept of k."""
    adata.obs["asked"] = [str(i % k) for i in range(adata.n_obs)]  # only their number counts
    table = jojoscl.split_tests(adata, "asked", method=jojoscl.JojoSCL(**settings), seed=seed)
    return list(table["p_adjusted"]), 1 + int(table["kept"].sum())


def calibration() -> None:
    print(
        f"\n| One type of 300 cells, 500 genes, {RUNS} runs | K | Split at 5 % | Split at 1 % | Median p of the root |"
    )
    print("|---|---|---|---|---|")
    for name, how in NULLS.items():
        for k in (2, 5):
            p = [
                tables(jojoscl.simulate(300, 500, 1, seed=s, **how), k, s, n_draws=1)[0]
                for s in range(RUNS)
            ]
            least = np.array([min(values) for values in p])
            root = np.median([values[0] for values in p])
            shares = [f"{100 * np.mean(least <= level):.1f} %" for level in (0.05, 0.01)]
            print(f"| {name} | {k} | {shares[0]} | {shares[1]} | {root:.2f} |", flush=True)


def power(runs: int = 50) -> None:
    print(
        f"\n| Fold change (sd of its logarithm) of two types, {runs} runs | Split at 5 % | ARI of the half's clusters |"
    )
    print("|---|---|---|")
    for sd in (0.3, 0.5, 0.6, 0.7, 0.8, 1.0, 1.5):
        split, ari = [], []
        for s in range(runs):
            adata = jojoscl.simulate(
                300, 500, 2, fold_change_sd=sd, type_sizes=[1, 1], dropout=0, seed=s
            )
            how = {
                "n_clusters": 2,
                "method": jojoscl.JojoSCL(n_draws=1),
                "layer": None,
                "kind": "auto",
                "seed": s,
            }
            half = half_clusters(
                adata, "cell_type", **how
            )  # whose types only lend the clusters their names
            split.append(bool(tested(half, 0.05)[0]["kept"][0]))
            ari.append(adjusted_rand_score(adata.obs["cell_type"], half.labels))
        print(f"| {sd} | {100 * np.mean(split):.0f} % | {np.mean(ari):.2f} |", flush=True)


def markers(runs: int = 50) -> None:
    """Share of genes with p < .01, and of runs with any gene at 5 % after Benjamini and Hochberg, in one type."""
    print(
        f"\n| One type of 300 cells, 500 genes, K = 3, {runs} runs | Way | p < .01 | Runs with a marker at 5 % |"
    )
    print("|---|---|---|---|")
    for name, how in list(NULLS.items())[:2]:
        tables: dict[str, list[pd.DataFrame]] = {
            "Halves (`jojoscl.markers`)": [],
            "Circular (scanpy, Wilcoxon)": [],
        }
        for s in range(runs):
            adata = jojoscl.simulate(300, 500, 1, seed=s, **how)
            jojoscl.cluster(adata, 3, n_draws=1)
            valid, circular = tables.values()
            valid.append(jojoscl.markers(adata, method=jojoscl.JojoSCL(n_draws=1), seed=s))
            sc.pp.normalize_total(adata)
            sc.pp.log1p(adata)
            sc.tl.rank_genes_groups(adata, "jojoscl", method="wilcoxon")
            circular.append(sc.get.rank_genes_groups_df(adata, None))
        for way, found in tables.items():
            small, any_of = (np.mean([f(t) for t in found]) for f in (_small, _any))
            print(f"| {name} | {way} | {100 * small:.1f} % | {100 * any_of:.0f} % |", flush=True)


def _small(table: pd.DataFrame) -> float:
    return float(np.mean(table["pvals"] < 0.01))


def _any(table: pd.DataFrame) -> bool:
    return bool((table["pvals_adj"] < 0.05).any())


def real(folder: Path | None) -> None:
    columns = [
        "Set",
        "Cells",
        "Types",
        "Kept of as many",
        "Kept of twice as many",
        "Of the largest type alone, of 2",
    ]
    print(f"\n| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    sources: dict[str, Path | None] = (
        {path.stem: path for path in sorted(folder.glob("*.h5ad"))} if folder else {}
    )
    for name, path in (sources | dict.fromkeys(NAMED)).items():
        try:
            adata = anndata.read_h5ad(path) if path else jojoscl.load_dataset(name)
            cells = as_cells(adata, label_key="cell_type")
            if cells.n_obs > MOST_CELLS:
                continue
            types = cells.obs["cell_type"].value_counts()
            kept = [tables(cells, n * len(types), 0)[1] for n in (1, 2)]
            alone = tables(cells[cells.obs["cell_type"] == types.index[0]].copy(), 2, 0)[1]
            words = f"{kept[0]} of {len(types)} | {kept[1]} of {2 * len(types)} | {alone}"
        except jojoscl.UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"| {name} | {cells.n_obs} | {len(types)} | {words} |", flush=True)


if __name__ == "__main__":
    real(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    calibration()
    power()
    markers()
