"""The anchor: principal components, each shrunk by how well two views of the same cells agree on it.

===========  =========================================================================================
z_ij         score of cell i on component j
a_ij, b_ij   the same score seen through a random half of the genes and through the other half, both doubled
tau2_j       mean of a_ij b_ij: the variance of a score that both views share
sigma2_j     mean of (a_ij - b_ij)^2 / 2: the variance that one view has for itself
r_j          reliability tau2_j / (sigma2_j + tau2_j), the shrinkage that minimises SURE (1 - b of `shrinkage`)
===========  =========================================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils.extmath import randomized_svd

_BAND = 1 << 16  # cells


class Anchor(NamedTuple):
    """Loadings (genes, d) of d components with the variances sigma2 (d,) and tau2 (d,) of their scores."""

    loadings: np.ndarray
    sigma2: np.ndarray
    tau2: np.ndarray

    @property
    def reliability(self) -> np.ndarray:
        """R (d,) in [0, 1]; 0 for a component without variance."""
        total = self.sigma2 + self.tau2
        return np.divide(self.tau2, total, out=np.zeros_like(total), where=total > 0)

    @property
    def shrunk_loadings(self) -> np.ndarray:
        """Loadings whose scores are the shrunken ones, r_j z_ij: (genes, d)."""
        return self.loadings * self.reliability


def pca_anchor(x: np.ndarray, n_dims: int, *, draws: int = 4, seed: int) -> Anchor:
    """The anchor of centred cells x (n, genes), with as many of `n_dims` components as x can have."""
    n_dims = min(n_dims, x.shape[0] - 1, x.shape[1])
    components = randomized_svd(x, n_dims, n_iter=6, random_state=seed)[2]
    loadings = np.ascontiguousarray(components.T, dtype=np.float32)
    return Anchor(loadings, *two_view_variances(x, loadings, draws=draws, seed=seed))


def two_view_variances(
    x: np.ndarray, loadings: np.ndarray, *, draws: int = 4, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """sigma2 and tau2, each (d,) float32, of the scores of x (n, genes): means over `draws` random halves."""
    rng = np.random.default_rng(seed)
    scores = x @ loadings
    sigma2, tau2 = np.zeros((2, scores.shape[1]), np.float32)
    for _ in range(draws):
        half = rng.random(x.shape, dtype=np.float32) < 0.5
        a = 2 * ((x * half) @ loadings)
        b = 2 * scores - a
        sigma2 += np.square(a - b).mean(0) / (2 * draws)
        tau2 += (a * b).mean(0) / draws
    return sigma2, np.maximum(tau2, 0)


def softness(reliability: np.ndarray, threshold: float, *, leading: int = 5) -> float:
    """The geometry, chosen without labels: how far :func:`normalise` keeps the length of a cell's vector.

    Lengths differ by type where the leading components are reproducible, and by depth and noise where they are not:
    1 if the mean reliability of the `leading` ones reaches `threshold`, else 0, which is the cosine.
    """
    return 1.0 if reliability[:leading].mean() >= threshold else 0.0


def normalise(x: np.ndarray, soft: float) -> np.ndarray:
    """x_i / sqrt(||x_i||^2 + (soft * median length)^2): on the unit sphere for soft = 0, inside it above."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.maximum(np.hypot(length, soft * np.median(length)), 1e-12)


def principal_axes(x: np.ndarray) -> np.ndarray:
    """X (n, d) centred and turned to its own principal axes, the widest first."""
    bands = [slice(start, start + _BAND) for start in range(0, len(x), _BAND)]  # of many cells no other copy
    mean, squares = x.mean(0, dtype=np.float64), np.zeros((x.shape[1], x.shape[1]))
    for band in bands:
        centred = x[band] - mean
        squares += centred.T @ centred
    axes, turned = np.linalg.eigh(squares)[1][:, ::-1], np.empty_like(x)
    for band in bands:
        turned[band] = (x[band] - mean) @ axes
    return turned


def principal_components(x: np.ndarray, n_pcs: int, *, seed: int) -> np.ndarray:
    """Coordinates (n_cells, n_pcs) float32 of cells x (n_cells, n_genes); fewer if the matrix has fewer."""
    n_pcs = min(n_pcs, min(x.shape) - 1)
    fitted = PCA(n_pcs, svd_solver="arpack", random_state=seed)  # exact, as in scanpy
    return np.asarray(fitted.fit_transform(x), dtype=np.float32)
