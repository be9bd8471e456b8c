"""What is left at the end of a training: do cells still differ, do centroids still move?"""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd

SPREAD = ["cosine", "dimensions", "origin", "movement", "b"]
LAST = 10  # epochs whose movement is averaged


def of_run(folder: Path) -> dict[str, float]:
    """Return the numbers of SPREAD of the run in `folder`.

    Those of clusters are NaN where shrinkage.csv has none.
    The first three are those of :func:`of_embedding`; `movement` is how far a centroid goes in an
    epoch, over the mean distance of two centroids; `b` the mean weight on the centroid in the last
    epoch.
    """
    h = np.asarray(anndata.read_h5ad(folder / "result.h5ad").obsm["X_jojoscl"], np.float64)
    table = pd.read_csv(folder / "shrinkage.csv")
    late = table[table["epoch"] > table["epoch"].max() - LAST].groupby("quantity")["value"].mean()
    last = table[table["epoch"] == table["epoch"].max()].groupby("quantity")["value"].mean()
    movement = late.get("movement", np.nan) / last.get("distance", np.nan)
    return of_embedding(h) | {"movement": movement, "b": last.get("b", np.nan)}


def of_embedding(h: np.ndarray) -> dict[str, float]:
    """Return how far the cells of h (n, d) are apart.

    The mean `cosine` of two different cells; in how many `dimensions` their variance lies, (sum
    v)^2 / sum v^2 of the variances v of the principal components, 0 if all cells are one point; and
    the share of cells at the `origin`, whose cosine counts as 0.

    >>> of_embedding(np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]]))
    {'cosine': -0.333..., 'dimensions': 2.0, 'origin': 0.0}
    """
    n, norms = len(h), np.linalg.norm(h, axis=1, keepdims=True)
    unit = np.divide(h, norms, out=np.zeros_like(h), where=norms > 0)
    squares = np.square(unit).sum()
    cosine = (np.square(unit.sum(0)).sum() - squares) / (n * (n - 1))
    variances = np.square(np.linalg.svd(h - h.mean(0), compute_uv=False))
    total = variances.sum()
    dimensions = total**2 / np.square(variances).sum() if total > 1e-9 * n else 0.0
    return {
        "cosine": float(cosine),
        "dimensions": float(dimensions),
        "origin": float((norms == 0).mean()),
    }
