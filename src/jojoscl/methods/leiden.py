"""Leiden as scanpy runs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anndata import AnnData

from jojoscl.clustering.graph import leiden, match_resolution, neighbor_graph
from jojoscl.data.preprocess import SCANPY, Preprocess
from jojoscl.methods.base import MethodSettings, Result, check_n_clusters, isolated_and_timed
from jojoscl.model.components import principal_components
from jojoscl.training.settings import Run
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.settings import setting


@dataclass(kw_only=True)
class Leiden(MethodSettings):
    """Scanpy's clustering: principal components, UMAP's fuzzy neighbor graph, Leiden (Traag et al. 2019).

    With `match_k` the resolution is searched from `resolution` until there are `n_clusters` clusters;
    without, the number of clusters is what comes out, and is not told.
    """

    name: str = setting("leiden", "What the results call it.")
    preprocess: Preprocess = setting(SCANPY, "From counts to what the components are made of.")
    n_pcs: int = setting(50, "Principal components.", low=1)
    n_neighbors: int = setting(15, "Neighbors in the graph, the cell itself is one.", low=2)
    resolution: float = setting(1.0, "Leiden's resolution, or where the search for K begins.", low=0)
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
        graph = neighbor_graph(x, self.n_neighbors, seed=seed)
        watch.lap("train")

        def cluster_at(resolution: float) -> np.ndarray:
            return leiden(graph, resolution, seed=seed)

        if k is None:
            labels, resolution = cluster_at(self.resolution), self.resolution
        else:
            labels, resolution = match_resolution(cluster_at, k, start=self.resolution)
        watch.lap("assign")
        return Result(labels, x, watch.seconds, {"resolution": resolution})
