"""Shrinkage contrast in closed form: a linear encoder that spreads cells, not neighbors.

===========  ======================================================================================
z_i          scores of cell i on D principal components
(i, j)       a positive pair: cell i and one of its neighbors, with weight w_ij
T            variance of all cells, sum_i z_i z_i' / n
W            variance between positives, sum w_ij (z_i - z_j) (z_i - z_j)' / (2 sum w_ij)
u_k          axes with T u_k = lambda_k W u_k and u_k' W u_k = 1, the largest lambda_k first
h_ik         b'_k u_k' z_i, the embedding; b'_k is the shrinkage below
===========  ======================================================================================

A contrastive loss pulls positives together and pushes other cells apart. Among linear encoders the
one that makes the variance of all cells largest for a given variance between positives is this
eigenproblem (Fisher's, if all pairs of a class of n_k cells had the weight 1 / n_k; Wiskott &
Sejnowski, Neural Comput 2002, for neighbors in time).

What neighbors do not share is noise. In the units of u_k its variance is sigma2 = 1, and lambda_k =
sigma2 + tau2_k, so SURE's weight on the mean is b_k = sigma2 / (sigma2 + tau2_k) = 1 / lambda_k
(the minimiser of form (B) of :mod:`.shrinkage`, whose factor 1 - 1 / n is left out), and each
component is multiplied by b'_k = 1 - 1 / lambda_k: no component that neighbors do not share stays.

That holds for neighbors found in other counts. These are found in the same ones, so that they are
near in their noise too: sigma2 is larger than 1, and a component of pure noise keeps a part of its
size. docs/methods.md says how much.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh
from scipy.sparse.csgraph import laplacian

from jojoscl.core import gpu


class Contrast(NamedTuple):
    """Axes (D, d) of the encoder and its ratios lambda_k (d,), the largest first."""

    axes: np.ndarray
    ratio: np.ndarray

    @property
    def shrinkage(self) -> np.ndarray:
        """1 - 1 / lambda_k (d,), in [0, 1]; all 1 if that leaves nothing, as for very few cells."""
        kept = np.maximum(1 - 1 / np.maximum(self.ratio, 1e-12), 0)
        return kept if kept.any() else np.ones_like(kept)

    def encoder(self, *, shrink: bool = True) -> np.ndarray:
        """Return what centred scores (n, D) are multiplied by, (D, d) float32."""
        return np.asarray(self.axes * self.shrinkage if shrink else self.axes, dtype=np.float32)


def leading_axes(x: np.ndarray, n_dims: int, *, seed: int) -> np.ndarray:
    """Return the principal axes (g, d) of centred cells x (n, g); d is at most n - 1 and g.

    By a randomised SVD (Halko, Martinsson & Tropp, SIAM Rev 2011).
    """
    from sklearn.utils.extmath import randomized_svd  # slow to import: not before it is needed

    n_dims = min(n_dims, x.shape[0] - 1, x.shape[1])
    if gpu.in_use():
        return gpu.axes(x, n_dims, seed)
    components = randomized_svd(x, n_dims, n_oversamples=15, n_iter=5, random_state=seed)[2]
    return np.ascontiguousarray(components.T, dtype=np.float32)


def weighted(x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return rows of x (n, d) times the root of their weights (n,): x'x is then a weighted sum."""
    return x if weights is None else x * np.sqrt(weights, dtype=np.float32)[:, None]


def leading_scores(
    view: Callable[[], np.ndarray], weights: np.ndarray | None, n_dims: int, *, seed: int
) -> np.ndarray:
    """Return the leading principal components (n, d) of the matrix (n, g) that `view` makes."""
    x = view()
    x -= np.average(x, 0, weights)
    return np.asarray(x @ leading_axes(weighted(x, weights), n_dims, seed=seed))


def unit_scale(scores: np.ndarray) -> np.float32:
    """Return the root mean square length of the rows of scores (n, d)."""
    return np.float32(max(np.sqrt(np.square(scores, dtype=np.float64).sum(1).mean()), 1e-12))


def no_contrast(n_components: int, n_dims: int) -> Contrast:
    """Return the encoder that takes the first components: without noise nothing is shrunk."""
    n_dims = min(n_dims, n_components)
    return Contrast(np.eye(n_components, n_dims), np.full(n_dims, np.inf))


def pair_variance(z: np.ndarray, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return W (D, D), the weighted variance of z (n, D) between pairs i, j (m,); 0 without."""
    z, n = z.astype(np.float64), len(z)
    pairs = sp.csr_matrix((weights.astype(np.float64), (i, j)), shape=(n, n))
    # sum w_ij (z_i - z_j) (z_i - z_j)' = z' L z, L = D - (w + w')
    return z.T @ (laplacian(pairs + pairs.T) @ z) / max(2 * weights.sum(), 1e-12)


def linear_contrast(z: np.ndarray, within: np.ndarray, *, n_dims: int, ridge: float) -> Contrast:
    """Return the encoder of centred scores z (n, D), given W = `within` (D, D).

    Parameters
    ----------
    n_dims
        Axes at most.
    ridge
        This share of the mean variance between positives is added to each direction, so that a
        direction in which positives happen to agree is not trusted without limit.
    """
    noise = within + max(ridge * np.trace(within) / len(within), 1e-12) * np.eye(len(within))
    # T u = lambda W u
    ratio, axes = eigh(z.T.astype(np.float64) @ z / len(z), noise)
    order = np.argsort(-ratio, kind="stable")[:n_dims]
    axes = axes[:, order]
    # An eigenvector has no sign of its own: its largest entry becomes positive.
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return Contrast(axes * signs, ratio[order])
