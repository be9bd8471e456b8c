"""Controls: what costs nothing to try first, and the floor."""

from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from sklearn.mixture import GaussianMixture

from jojoscl.baselines.components import OnComponents
from jojoscl.core.interface import Method, Result, check_n_clusters, timed
from jojoscl.core.kmeans import kmeans
from jojoscl.utils.settings import setting


@dataclass(kw_only=True)
class PCAKMeans(OnComponents, name="pca_kmeans", n_pcs=32):
    """K-means on the leading principal components."""

    n_init: int = setting(10, "Starts of K-means; the best is kept.", low=1)

    def clusters(self, x: np.ndarray, k: int, *, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        """Return the clusters of K-means."""
        return kmeans(x, k, seed=seed, n_init=self.n_init)[0], {}


@dataclass(kw_only=True)
class GaussianMixtures(OnComponents, name="gaussian_mixture", n_pcs=20):
    """A Gaussian mixture on the leading principal components, as mclust fits it.

    The form of the covariances is the one with the lowest BIC (Scrucca et al., R Journal 2016).
    """

    n_init: int = setting(3, "Starts of each mixture; the best is kept.", low=1)
    ridge: float = setting(1e-3, "Added to the variances, so that none becomes 0.", low=0)

    def clusters(self, x: np.ndarray, k: int, *, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        """Return the likeliest component of each cell, and the lowest BIC."""
        x = x.astype(np.float64)
        fits = [
            GaussianMixture(
                k, covariance_type=form, n_init=self.n_init, reg_covar=self.ridge, random_state=seed
            ).fit(x)
            for form in ("full", "tied", "diag", "spherical")
        ]
        best = min(fits, key=lambda fit: fit.bic(x))
        return best.predict(x), {"bic": best.bic(x)}


@dataclass(kw_only=True)
class RandomLabels(Method):
    """The floor: clusters of equal size drawn without a look at the cells."""

    name: str = setting("random", "What the results call it.")

    @timed
    def fit_predict(self, cells: AnnData, n_clusters: int | None, *, seed: int = 0) -> Result:
        """Cluster cells (n, genes), see :class:`~jojoscl.core.interface.Method`."""
        k = check_n_clusters(n_clusters, cells.n_obs)
        rng = np.random.default_rng(seed)
        labels = rng.permutation(cells.n_obs) % k
        return Result(labels, rng.standard_normal((cells.n_obs, 2), dtype=np.float32), {})


@dataclass(kw_only=True)
class TrueLabels(Method):
    """The ceiling: the true labels themselves, which show what a perfect method would score."""

    name: str = setting("truth", "What the results call it.")

    takes_truth = True

    @timed
    def fit_predict(  # type: ignore[override]  # it alone needs the types
        self, cells: AnnData, n_clusters: int | None, *, seed: int = 0, truth: np.ndarray
    ) -> Result:
        """Return the types `truth` (n,) as clusters, and as an embedding of one axis for each."""
        words, labels = np.unique(truth, return_inverse=True)
        return Result(labels.astype(np.int64), np.eye(len(words), dtype=np.float32)[labels], {})
