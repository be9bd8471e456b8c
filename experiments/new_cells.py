"""How well a fitted model predicts new cells, on real sets: the tables of docs/new_cells.md.

    python -m experiments new_cells --data pbmc_10x bladder human_brain yan baron_mouse worm_neuron

measures the sets that results/new_cells.csv lacks and writes new_cells.md beside it; without --data
the page only. K is the number of types.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.metrics.cluster import contingency_matrix

import jojoscl
from experiments.measured import grid_of, resumed
from experiments.text import Section, columns, number, two, write_page
from jojoscl.runner.machine import git_commit

WHICH = "sets to measure, names as in conf/data"
OPTIONS = {"--data": {"nargs": "+", "default": (), "help": WHICH}}
SPLITS = 5  # random fifths that are predicted, one after another
MISSING = (0.05, 0.1, 0.2, 0.5)  # shares of the genes that are taken from the new cells
SHOWN = {
    "equal": "Equal",
    "fit": "ARI, cells of the fit",
    "held_out": "ARI, hold-out",
    "refitted": "ARI, the 80 % refitted",
    "auroc": "AUROC of confidence",
    "types_predicted": "ARI with types: predicted",
    "types_clustered": "clustered",
}


def of_split(
    adata: AnnData, of_all: np.ndarray, k: int, seed: int
) -> tuple[dict[str, float], pd.DataFrame]:
    """Fit on four fifths of the cells and predict the others.

    Returns
    -------
    The scores of the split; and, a row a predicted cell, its `confidence` and whether its label
    `agrees` with `of_all`, the clustering of all cells (n,).
    """
    types = adata.obs["cell_type"].astype(str).to_numpy()
    rng = np.random.default_rng(seed)
    new = np.zeros(adata.n_obs, bool)
    new[rng.permutation(adata.n_obs)[: adata.n_obs // 5]] = True
    model = jojoscl.JojoSCL().fit(adata[~new].copy(), k, seed=seed)
    cells = adata[new].copy()
    found = model.predict(cells)
    scores = {
        "held_out": adjusted_rand_score(of_all[new], found.labels),
        "refitted": adjusted_rand_score(of_all[~new], model.labels_),
        "types_predicted": adjusted_rand_score(types[new], found.labels),
        "types_clustered": adjusted_rand_score(types[new], of_all[new]),
    }
    for share in MISSING if seed < 2 else ():
        kept = cells[:, rng.random(adata.n_vars) > share].copy()
        fewer = model.predict(kept, max_missing=1).labels
        scores[f"without_{share}"] = adjusted_rand_score(found.labels, fewer)
    same, other = linear_sum_assignment(-contingency_matrix(of_all[~new], model.labels_))
    name = dict(zip(other, np.unique(of_all[~new])[same], strict=True))
    agrees = np.array([name.get(label) for label in found.labels]) == of_all[new]
    return scores, pd.DataFrame({"agrees": agrees, "confidence": found.obs["confidence"]})


def measure(data: str) -> pd.DataFrame:
    """Return the row of one set, means of all splits."""
    logging.disable(logging.WARNING)  # how many genes are missing
    adata = jojoscl.load_dataset(data)
    k = adata.obs["cell_type"].nunique()
    whole = jojoscl.JojoSCL().fit(adata, k)
    fitted = whole.predict(adata).labels
    splits = [of_split(adata, whole.labels_, k, seed) for seed in range(SPLITS)]
    cells = pd.concat([predicted for _, predicted in splits])
    both = cells["agrees"].nunique() > 1
    row = {
        "equal": np.mean(fitted == whole.labels_),
        "fit": adjusted_rand_score(whole.labels_, fitted),
        "auroc": roc_auc_score(cells["agrees"], cells["confidence"]) if both else np.nan,
        **pd.DataFrame([scores for scores, _ in splits]).mean(),
    }
    logging.disable(logging.NOTSET)
    return pd.DataFrame([row]).round(4).assign(git_commit=git_commit())


def make(results: Path, figures: Path, data: Sequence[str] = ()) -> None:
    """Measure what the table lacks, and write its page."""
    source = results / "new_cells.csv"
    table = resumed(source, grid_of(data=data), measure)
    name = {"data": ("Set", "`{}`".format)}
    scores = name | {key: (title, number) for key, title in SHOWN.items()}
    genes = name | {f"without_{x}": (f"{100 * x:.0f} % taken away", two) for x in MISSING}
    means = "Means over random fifths of the cells."
    ari = "ARI with the prediction from all genes, means of two splits."
    shows = [
        Section("Prediction", columns(table, scores), means),
        Section("Missing genes", columns(table, genes), ari),
    ]
    write_page(shows, source, "new_cells")
