"""Dense regions of a UMAP as clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scanpy as sc
from sklearn.cluster import HDBSCAN
from sklearn.neighbors import KNeighborsClassifier

from jojoscl.baselines.components import ClusterAt, OnGraph, neighbor_graph
from jojoscl.utils.settings import setting


@dataclass(kw_only=True)
class HDBSCANOnUMAP(OnGraph, name="hdbscan", n_neighbors=30):
    """HDBSCAN on a UMAP without a least distance, as UMAP's documentation advises.

    McInnes et al., JOSS 2017 and 2018. A cell that HDBSCAN calls noise joins the cluster of the
    nearest cell that has one. With `match_k` the size of the smallest cluster is searched.
    """

    smallest: int = setting(15, "Cells of the smallest cluster, at resolution 1.", low=2)

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives the clusters at a resolution: the smallest has `smallest` / it."""
        graph = neighbor_graph(x, self.n_neighbors, seed=seed)
        sc.tl.umap(graph, min_dist=0.0, random_state=seed)
        plane = graph.obsm["X_umap"]

        def cluster_at(resolution: float) -> np.ndarray:
            size = int(np.clip(round(self.smallest / resolution), 2, len(x)))
            labels = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(plane)
            kept = labels >= 0
            if not kept.any():
                return np.zeros(len(x), np.int64)
            return np.asarray(KNeighborsClassifier(1).fit(plane[kept], labels[kept]).predict(plane))

        return cluster_at
