"""Seurat's clustering in Python: its defaults, with exact neighbors in place of approximate ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anndata import AnnData

from jojoscl.clustering.graph import louvain, match_resolution, merge_singletons, shared_neighbors
from jojoscl.data.preprocess import Preprocess
from jojoscl.methods.base import Result, check_n_clusters
from jojoscl.model.anchor import principal_components
from jojoscl.training.settings import Run
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.settings import Settings, between


@dataclass(kw_only=True)
class Seurat(Settings):
    """Principal components, shared-nearest-neighbor graph, Louvain (Hao et al., Nat Biotechnol 2024).

    Seurat is not told the number of clusters. With `match_k` the resolution is searched from `resolution`
    until there are `n_clusters` clusters: that row, not the default one, is told what the other methods are.
    """

    name: str
    preprocess: Preprocess
    n_pcs: int = between(1)
    n_neighbors: int = between(2)
    prune: float = between(0, 1)
    resolution: float = between(0)
    n_starts: int = between(1)
    match_k: bool

    takes_oracle = False

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`)."""
        k = check_n_clusters(n_clusters, adata.n_obs) if self.match_k else None
        watch = Stopwatch()
        cells = self.preprocess(adata, run.cache if run else None)
        watch.lap("preprocess")
        x = principal_components(cells.X, self.n_pcs, seed=seed)
        graph = shared_neighbors(x, self.n_neighbors, self.prune)
        watch.lap("train")

        def cluster_at(resolution: float) -> np.ndarray:
            labels = louvain(graph, resolution, seed=seed, n_starts=self.n_starts)
            return merge_singletons(labels, graph)

        if k is None:
            labels, resolution = cluster_at(self.resolution), self.resolution
        else:
            labels, resolution = match_resolution(cluster_at, k, start=self.resolution)
        watch.lap("assign")
        return Result(labels, x, watch.seconds, {"resolution": resolution})
