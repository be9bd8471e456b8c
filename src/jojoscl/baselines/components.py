"""What clusters principal components: the part that Leiden, Seurat and K-means share."""

import warnings
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from sklearn.decomposition import PCA

from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import SCANPY, Preprocess
from jojoscl.core.interface import Method, Result, alone, check_n_clusters, timed
from jojoscl.utils.progress import Stopwatch
from jojoscl.utils.settings import setting


@dataclass(kw_only=True)
class OnComponents(Method):
    """Preprocess, take the leading principal components, cluster them."""

    name: str = setting("components", "What the results call it.")
    preprocess: Preprocess = setting(SCANPY, "From counts to what the components are made of.")
    n_pcs: int = setting(50, "Principal components.", low=1)

    @timed
    @alone()
    def fit_predict(self, cells: AnnData, n_clusters: int | None, *, seed: int = 0) -> Result:
        """Cluster cells (n, genes), see :class:`~jojoscl.core.interface.Method`."""
        k = 0 if self.finds_k else check_n_clusters(n_clusters, cells.n_obs)
        watch = Stopwatch()
        expression = self.preprocess(cells)
        watch.lap("preprocess")
        warnings.simplefilter("ignore")  # what umap, numba and others say of threads and versions
        x = self.components(expression, seed=seed)
        watch.lap("train")
        labels, info = self.clusters(x, k, seed=seed)
        watch.lap("assign")
        return Result(labels, x, watch.seconds, info)

    def components(self, cells: Expression, *, seed: int) -> np.ndarray:
        """Return what is clustered, (n, d) float32: here the leading principal components.

        They are fewer than `n_pcs` if the matrix has fewer.
        """
        x = cells.zscores()
        n_pcs = min(self.n_pcs, min(x.shape) - 1)
        fitted = PCA(n_pcs, svd_solver="arpack", random_state=seed)  # exact, as in scanpy
        return np.asarray(fitted.fit_transform(x), dtype=np.float32)

    @abstractmethod
    def clusters(self, x: np.ndarray, k: int, *, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        """Return labels (n,) of components x (n, d), and what to note; k may be 0 (found)."""
