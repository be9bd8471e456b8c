"""What clusters principal components: the part that Leiden, Seurat and K-means share."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scanpy as sc
from anndata import AnnData
from sklearn.decomposition import PCA

from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import SCANPY, Preprocess
from jojoscl.core.interface import MethodSettings, Result, alone, check_n_clusters, timed
from jojoscl.utils.progress import Stopwatch
from jojoscl.utils.settings import setting

ClusterAt = Callable[[float], np.ndarray]
"""Labels (n,) at a resolution."""


def principal_components(x: np.ndarray, n_pcs: int, *, seed: int) -> np.ndarray:
    """Return coordinates (n, n_pcs) float32 of cells x (n, g); fewer if the matrix has fewer."""
    n_pcs = min(n_pcs, min(x.shape) - 1)
    fitted = PCA(n_pcs, svd_solver="arpack", random_state=seed)  # exact, as in scanpy
    return np.asarray(fitted.fit_transform(x), dtype=np.float32)


@dataclass(kw_only=True)
class OnComponents(MethodSettings):
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
        """Return what is clustered, (n, d) float32: here the leading principal components."""
        return principal_components(cells.zscores(), self.n_pcs, seed=seed)

    @abstractmethod
    def clusters(self, x: np.ndarray, k: int, *, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        """Return labels (n,) of components x (n, d), and what to note; k may be 0 (found)."""


@dataclass(kw_only=True)
class OnGraph(OnComponents):
    """Find communities in a graph of neighbors.

    With `match_k` the resolution is searched from `resolution` until there are `n_clusters`
    clusters: that row is given K, as the other methods are. Without, K is what comes out.
    """

    n_neighbors: int = setting(15, "Neighbors in the graph; the cell itself is one.", low=2)
    resolution: float = setting(
        1.0, "Resolution of the communities, or where the search for K begins.", low=0
    )
    match_k: bool = setting(False, "Whether to search the resolution that gives K clusters.")

    @property
    def finds_k(self) -> bool:
        """Whether the method finds the number of clusters itself."""
        return not self.match_k

    def clusters(self, x: np.ndarray, k: int, *, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        """Return the communities at one resolution, or those with k of them, and the resolution."""
        cluster_at, resolution = self.communities(x, seed=seed), self.resolution
        if self.finds_k:
            return cluster_at(resolution), {"resolution": resolution}
        labels, resolution = match_resolution(cluster_at, k, start=resolution)
        return labels, {"resolution": resolution}

    @abstractmethod
    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives the communities (n,) of components x (n, d) at a resolution."""


def neighbor_graph(x: np.ndarray, n_neighbors: int, *, seed: int) -> AnnData:
    """Return scanpy's graph of the nearest neighbors of x (n, d), weighted as in UMAP."""
    graph = AnnData(x.astype(np.float32))
    k = min(n_neighbors, len(x) - 1)
    sc.pp.neighbors(graph, n_neighbors=k, use_rep="X", random_state=seed)
    return graph


def match_resolution(
    cluster_at: ClusterAt, n_clusters: int, *, start: float, n_steps: int = 40
) -> tuple[np.ndarray, float]:
    """Return labels of `n_clusters` clusters and their resolution, by bisection on its logarithm.

    The number of clusters hardly ever falls as the resolution rises, and may skip a value: then the
    labels are those whose number came nearest.
    """
    low, high, resolution = 0.0, math.inf, start
    tried: list[tuple[int, np.ndarray, float]] = []
    for _ in range(n_steps):
        labels = cluster_at(resolution)
        excess = len(np.unique(labels)) - n_clusters
        tried.append((abs(excess), labels, resolution))
        if excess == 0:
            break
        low, high = (low, resolution) if excess > 0 else (resolution, high)
        if low == 0:
            resolution = high / 2
        elif math.isinf(high):
            resolution = low * 2
        else:
            resolution = math.sqrt(low * high)
    _, labels, resolution = min(tried, key=lambda one: one[0])
    return labels, resolution
