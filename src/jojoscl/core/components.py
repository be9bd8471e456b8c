"""Principal components of cells, and the residuals of counts that some are made of."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.utils.extmath import randomized_svd

_BAND = 512  # cells whose residuals are made at a time: they stay in the processor's cache


def principal_components(x: np.ndarray, n_pcs: int, *, seed: int) -> np.ndarray:
    """Return coordinates (n_cells, n_pcs) float32 of cells x (n_cells, n_genes); fewer if the matrix has fewer."""
    n_pcs = min(n_pcs, min(x.shape) - 1)
    fitted = PCA(n_pcs, svd_solver="arpack", random_state=seed)  # exact, as in scanpy
    return np.asarray(fitted.fit_transform(x), dtype=np.float32)


def leading_axes(x: np.ndarray, n_dims: int, *, seed: int) -> np.ndarray:
    """Return the loadings (n_genes, d) of centred cells x (n, n_genes); d is at most n - 1 and the number of genes.

    By a randomised SVD (Halko, Martinsson & Tropp, SIAM Rev 2011).
    """
    n_dims = min(n_dims, x.shape[0] - 1, x.shape[1])
    components = randomized_svd(x, n_dims, n_oversamples=15, n_iter=5, random_state=seed)[2]
    return np.ascontiguousarray(components.T, dtype=np.float32)


def unit_scale(scores: np.ndarray) -> np.float32:
    """Return the root mean square length of the rows of scores (n, d)."""
    return np.float32(max(np.sqrt(np.square(scores, dtype=np.float64).sum(1).mean()), 1e-12))


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Return the rows of x (n, d) on the unit sphere; a row of zeros stays."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def pearson_residuals(counts: sp.csr_matrix, totals: np.ndarray, theta: float) -> np.ndarray:
    """Return Pearson residuals (n, n_genes) float32 of counts under a negative binomial, clipped at sqrt(n).

    Lause, Berens & Kobak, Genome Biol 2021, eq. 3, with mu_ij = totals_i share_j and variance mu +
    mu^2 / theta.

    Parameters
    ----------
    counts
        (n, n_genes), of the chosen genes.
    totals
        Counts (n,) of each cell over all its genes.
    """
    share = np.asarray(counts.sum(0), dtype=np.float64).ravel() / totals.sum()
    residuals, limit = np.empty(counts.shape, np.float32), len(totals) ** 0.5
    for start in range(0, len(totals), _BAND):
        band = slice(start, start + _BAND)
        mu = np.outer(totals[band], share).astype(np.float32)
        x = counts[band].toarray() - mu
        x /= np.sqrt(np.maximum(mu * (1 + mu / np.float32(theta)), np.float32(1e-12)))
        residuals[band] = np.clip(x, -limit, limit)
    return residuals
