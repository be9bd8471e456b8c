"""Cells of several samples, whose differences should not look like types."""

from __future__ import annotations

import numpy as np

from jojoscl.utils.errors import UserError


def without_samples(x: np.ndarray, samples: np.ndarray, *, seed: int) -> np.ndarray:
    """Return x (n, d) float32 less what differs between samples (n,) of like cells, by Harmony.

    Korsunsky et al., Nat Methods 2019, with the defaults of harmonypy.
    """
    try:
        from harmonypy import run_harmony
    except ModuleNotFoundError as error:
        raise UserError(
            "Several samples (batch_key) need harmonypy: pip install 'jojoscl[batch]'."
        ) from error
    n_clusters = min(max(2, round(len(x) / 30)), 100)
    columns = {"sample": np.unique(samples, return_inverse=True)[1].astype(str)}
    settings = {"nclust": n_clusters, "random_state": seed % 2**31, "ncores": 1, "verbose": False}
    return np.ascontiguousarray(
        run_harmony(x.T.astype(np.float64), columns, "sample", **settings).Z_corr, np.float32
    )
