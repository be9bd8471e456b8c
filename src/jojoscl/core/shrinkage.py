"""Each cell shrunk toward its cluster's centroid by Stein's unbiased risk estimate (SURE).

===========  ======================================================================================
x_i          embedding of cell i in cluster k, one of N cells, in P dimensions
sigma2_k     noise variance, per coordinate: given
tau2_k       prior variance: how far the true positions spread within the cluster, per coordinate
b_k          sigma2_k / (sigma2_k + tau2_k), the weight on the centroid
===========  ======================================================================================

The weight is the minimiser of form (B) of the risk, see :mod:`jojoscl.networks.sure`.
"""

from typing import NamedTuple

import numpy as np

BAND = 50_000  # cells that are shrunk at a time, for memory


class Shrinkage(NamedTuple):
    """What SURE makes of K clusters: n, sigma2_k, tau2_k and b_k, each (K,), and mean (K, P)."""

    n: np.ndarray
    sigma2: np.ndarray
    tau2: np.ndarray
    b: np.ndarray
    mean: np.ndarray


def shrink_embedding(
    x: np.ndarray, labels: np.ndarray, sigma2: float
) -> tuple[np.ndarray, Shrinkage]:
    """Return x (n, P) at its posterior means given clusters (n,), and what SURE makes of them.

    >>> shrink_embedding(np.array([[0.0], [2.0]]), np.array([0, 0]), 1.0)[0].ravel()
    array([0.5, 1.5])
    """
    from sklearn.utils import gen_batches  # slow to import: not before it is needed

    n = np.bincount(labels)
    mean = np.stack([np.bincount(labels, column) for column in x.T], axis=1) / n[:, None]  # (K, P)
    bands, of_cell, shrunk = list(gen_batches(len(x), BAND)), np.empty(len(x)), np.empty_like(x)
    for band in bands:
        of_cell[band] = np.square(x[band] - mean[labels[band]]).sum(1)
    squares = np.bincount(labels, of_cell)  # SS_k, (K,)
    # tau2_k = max(0, SS_k / (P (N - 1)) - sigma2)
    tau2 = np.maximum(squares / (x.shape[1] * np.maximum(n - 1, 1)) - sigma2, 0)
    # b_k = sigma2 / (sigma2 + tau2_k); 1 if both are 0
    b = np.divide(sigma2, sigma2 + tau2, out=np.ones_like(tau2), where=sigma2 + tau2 > 0)
    for band in bands:  # theta^_i = x_i - b_k (x_i - mean_k)
        of = labels[band]
        shrunk[band] = x[band] - b[of, None] * (x[band] - mean[of])
    return shrunk, Shrinkage(n, np.full_like(tau2, sigma2), tau2, b, mean)
