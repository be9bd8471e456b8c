"""Controls: what costs nothing to try first, and the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anndata import AnnData

from jojoscl.assign import kmeans, leiden, neighbour_graph
from jojoscl.baselines.graph import match_resolution, principal_components
from jojoscl.baselines.stopwatch import Stopwatch
from jojoscl.data.preprocess import Preprocess
from jojoscl.method import Result, Run, check_n_clusters
from jojoscl.settings import Settings, between


@dataclass(kw_only=True)
class PCAKMeans(Settings):
    """K-means on the leading principal components."""

    name: str
    preprocess: Preprocess
    n_pcs: int = between(1)
    n_init: int = between(1)

    takes_oracle = False

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.method.Method`)."""
        k = check_n_clusters(n_clusters, adata.n_obs)
        watch = Stopwatch()
        cells = self.preprocess.apply(adata, run.cache if run else None)
        watch.lap("preprocess")
        x = principal_components(cells.X, self.n_pcs, seed=seed)
        watch.lap("train")
        labels, _ = kmeans(x, k, seed=seed, n_init=self.n_init)
        watch.lap("assign")
        return Result(labels, x, watch.seconds)


@dataclass(kw_only=True)
class Leiden(Settings):
    """Scanpy's clustering: principal components, UMAP's fuzzy neighbour graph, Leiden (Traag et al. 2019).

    With `match_k` the resolution is searched from `resolution` until there are `n_clusters` clusters;
    without, the number of clusters is what comes out, and is not told.
    """

    name: str
    preprocess: Preprocess
    n_pcs: int = between(1)
    n_neighbors: int = between(2)
    resolution: float = between(0)
    match_k: bool

    takes_oracle = False

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.method.Method`)."""
        k = check_n_clusters(n_clusters, adata.n_obs) if self.match_k else None
        watch = Stopwatch()
        cells = self.preprocess.apply(adata, run.cache if run else None)
        watch.lap("preprocess")
        x = principal_components(cells.X, self.n_pcs, seed=seed)
        graph = neighbour_graph(x, self.n_neighbors, seed=seed)
        watch.lap("train")

        def cluster_at(resolution: float) -> np.ndarray:
            return leiden(graph, resolution, seed=seed)

        if k is None:
            labels, resolution = cluster_at(self.resolution), self.resolution
        else:
            labels, resolution = match_resolution(cluster_at, k, start=self.resolution)
        watch.lap("assign")
        return Result(labels, x, watch.seconds, {"resolution": resolution})


@dataclass(kw_only=True)
class RandomLabels(Settings):
    """The floor: clusters of equal size drawn without a look at the cells."""

    name: str

    takes_oracle = False

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.method.Method`)."""
        k = check_n_clusters(n_clusters, adata.n_obs)
        watch = Stopwatch()
        rng = np.random.default_rng(seed)
        labels = rng.permutation(adata.n_obs) % k
        embedding = rng.standard_normal((adata.n_obs, 2), dtype=np.float32)
        watch.lap("assign")
        return Result(labels, embedding, watch.seconds)
