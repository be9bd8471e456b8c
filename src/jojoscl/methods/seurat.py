"""Seurat's clustering in Python: its defaults, with exact neighbors in place of approximate ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from anndata import AnnData

from jojoscl.clustering.graph import louvain, match_resolution, merge_singletons, shared_neighbors
from jojoscl.data.preprocess import SCANPY, Preprocess
from jojoscl.methods.base import MethodSettings, Result, check_n_clusters, isolated_and_timed
from jojoscl.model.components import principal_components
from jojoscl.training.settings import Run
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.settings import setting


@dataclass(kw_only=True)
class Seurat(MethodSettings):
    """Principal components, shared-nearest-neighbor graph, Louvain (Hao et al., Nat Biotechnol 2024).

    Seurat is not told the number of clusters. With `match_k` the resolution is searched from `resolution`
    until there are `n_clusters` clusters: that row, not the default one, is told what the other methods are.
    """

    name: str = setting("seurat", "What the results call it.")
    preprocess: Preprocess = setting(
        replace(
            SCANPY, round_counts=False, min_cells=1, hvg_flavor="seurat_v3"
        ),  # the "vst" of Seurat 3 to 5, on counts
        "From counts to what the components are made of.",
    )
    n_pcs: int = setting(10, "Principal components, the first of its 50 that FindNeighbors takes by default.", low=1)
    n_neighbors: int = setting(20, "Neighbors in the graph; the cell itself is one.", low=2)
    prune: float = setting(0.0667, "Edges below are dropped; 1/15.", low=0, high=1)
    resolution: float = setting(0.8, "Louvain's resolution, or where the search for K begins.", low=0)
    n_starts: int = setting(10, "Starts of Louvain; the best is kept.", low=1)
    match_k: bool = setting(False, "Whether to search the resolution that gives K clusters.")

    @property
    def finds_k(self) -> bool:
        """Whether the method finds the number of clusters itself."""
        return not self.match_k

    @isolated_and_timed
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
