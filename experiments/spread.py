"""What a run's embedding looks like at the end of a training: whether cells still differ, and centroids still move."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd

SPREAD = ["cosine", "dimensions", "b", "movement"]
LAST = 10  # epochs whose movement is averaged


def spread(folder: Path) -> dict[str, float]:
    """Return numbers of the run in `folder`; those of clusters only where shrinkage.csv has them.

    `cosine` and `dimensions` are those of :func:`of_embedding`; `b` the mean weight on the centroid in the last epoch;
    `movement` how far a centroid goes in an epoch, over the mean distance of two centroids.
    """
    h = np.asarray(anndata.read_h5ad(folder / "result.h5ad").obsm["X_jojoscl"], np.float64)
    table = pd.read_csv(folder / "shrinkage.csv")
    late = table[table["epoch"] > table["epoch"].max() - LAST].groupby("quantity")["value"].mean()
    last = table[table["epoch"] == table["epoch"].max()].groupby("quantity")["value"].mean()
    movement = late.get("movement", np.nan) / last.get("distance", np.nan)
    return of_embedding(h) | {"b": last.get("b", np.nan), "movement": movement}


def of_embedding(h: np.ndarray) -> dict[str, float]:
    """Return the mean `cosine` of two different cells of h (n, d), and in how many `dimensions` its variance lies.

    The latter is (sum v)^2 / sum v^2 of the variances v of the principal components; 0 if all cells are one point.

    >>> of_embedding(np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]]))
    {'cosine': -0.333..., 'dimensions': 2.0}
    """
    unit, n = h / np.linalg.norm(h, axis=1, keepdims=True), len(h)
    cosine = ((unit.sum(0) ** 2).sum() - n) / (n * (n - 1))
    variances = np.linalg.svd(h - h.mean(0), compute_uv=False) ** 2
    total = variances.sum()
    dimensions = total**2 / (variances**2).sum() if total > 1e-9 * n else 0.0
    return {"cosine": float(cosine), "dimensions": float(dimensions)}
