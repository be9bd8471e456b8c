"""How well a fitted model predicts, on real sets: the tables of docs/new_cells.md.

    JOJOSCL_DATA_ROOT=... python benchmarks/new_cells.py [--sets yan ...] [--splits 5]

A row a set: the share of the fit's cells whose predicted label is the fitted one, and their ARI; of
a random fifth of the cells, predicted by a model of the others, the ARI with a clustering of all;
that of the two clusterings on the cells that both have seen; AUROC of the confidence for
predictions that agree; ARI with the types, predicted and clustered; the ARI with the prediction
from all genes where a share of the genes of the new cells is taken away.
"""

from __future__ import annotations

import argparse
import logging

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.metrics.cluster import contingency_matrix

import jojoscl

SETS = ["pbmc_10x", "bladder", "human_brain", "yan", "baron_mouse", "worm_neuron"]
MISSING = (0.05, 0.1, 0.2, 0.5)


def row(adata: AnnData, n_splits: int) -> dict[str, float]:
    """Return the numbers of one set."""
    types = adata.obs["cell_type"].astype(str).to_numpy()
    k = len(set(types))
    whole = jojoscl.JojoSCL().fit(adata, k)
    of_all = whole.labels_
    fitted = whole.predict(adata).labels
    splits, agree, confidence = [], list[bool](), list[float]()
    for seed in range(n_splits):
        rng = np.random.default_rng(seed)
        new = np.zeros(adata.n_obs, bool)
        new[rng.permutation(adata.n_obs)[: adata.n_obs // 5]] = True
        model = jojoscl.JojoSCL().fit(adata[~new].copy(), k, seed=seed)
        cells = adata[new].copy()
        found = model.predict(cells)
        few = {}
        for share in MISSING if seed < 2 else ():
            kept = cells[:, rng.random(adata.n_vars) > share].copy()
            few[f"genes -{share}"] = adjusted_rand_score(
                found.labels, model.predict(kept, max_missing=1).labels
            )
        splits.append(
            {
                "hold-out": adjusted_rand_score(of_all[new], found.labels),
                "refitted": adjusted_rand_score(of_all[~new], model.labels_),
                "types, predicted": adjusted_rand_score(types[new], found.labels),
                "types, clustered": adjusted_rand_score(types[new], of_all[new]),
                **few,
            }
        )
        same, other = linear_sum_assignment(-contingency_matrix(of_all[~new], model.labels_))
        name = dict(zip(other, np.unique(of_all[~new])[same], strict=True))
        agree += [
            name.get(label) == true for label, true in zip(found.labels, of_all[new], strict=True)
        ]
        confidence += found.obs["confidence"].tolist()
    auroc = roc_auc_score(agree, confidence) if 0 < np.mean(agree) < 1 else np.nan
    told = {
        "equal": np.mean(fitted == of_all),
        "ARI of the fit": adjusted_rand_score(of_all, fitted),
        "AUROC": auroc,
    }
    return told | pd.DataFrame(splits).mean().to_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--splits", type=int, default=5)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # how many genes are missing
    rows = {name: row(jojoscl.load_dataset(name), arguments.splits) for name in arguments.sets}
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    main()
