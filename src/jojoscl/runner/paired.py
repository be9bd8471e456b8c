"""Methods compared over datasets, each set one observation."""

from __future__ import annotations

import pandas as pd
from scipy import stats

MARGINS = (0.05, 0.01)


def paired(means: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return how far `reference` is ahead of each other method, over the sets that both have.

    Parameters
    ----------
    means
        A row a set, a column a method; NaN where no run finished.

    Returns
    -------
    A row a method that shares a set: `sets`, `difference` (mean of `reference` minus the method),
    `ahead_0.05`, `behind_0.05` (sets that differ by the margin or more), the same for 0.01, and `p`
    of Wilcoxon's signed-rank test, two-sided.
    """
    rows = {}
    for name in means.columns.drop(reference):
        differences = (means[reference] - means[name]).dropna().round(9)  # so that equal ones tie
        if differences.empty:
            continue
        rows[name] = {"sets": len(differences), "difference": differences.mean()}
        for margin in MARGINS:
            rows[name][f"ahead_{margin}"] = (differences >= margin).sum()
            rows[name][f"behind_{margin}"] = (differences <= -margin).sum()
        rows[name]["p"] = signed_rank(differences)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def signed_rank(differences: pd.Series) -> float:
    """Return Wilcoxon's two-sided p; 1 where nothing differs, for which scipy has none."""
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def reference_of(means: pd.DataFrame, wanted: str) -> str:
    """Return `wanted` where it has a result, else the method with the best mean."""
    return wanted if wanted in means and means[wanted].notna().any() else str(means.mean().idxmax())
