"""Seurat's clustering by its defaults, with exact neighbors in place of approximate ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jojoscl.baselines.components import OnGraph
from jojoscl.baselines.graph import ClusterAt, louvain, merge_singletons, shared_neighbors
from jojoscl.cells.preprocess import Preprocess
from jojoscl.utils.settings import setting


@dataclass(kw_only=True)
class Seurat(
    OnGraph,
    name="seurat",
    preprocess=Preprocess(
        round_counts=False, target_sum=1e4, hvg_flavor="seurat_v3", max_value=10.0
    ),  # its "vst"
    n_pcs=10,  # the first of its 50 that FindNeighbors takes by default
    n_neighbors=20,
    resolution=0.8,
):
    """Components, shared-nearest-neighbor graph, Louvain (Hao et al., Nat Biotechnol 2024).

    Seurat finds the number of clusters itself. With `match_k` the resolution is searched until
    there are K clusters.
    """

    prune: float = setting(0.0667, "Edges below are dropped; 1/15.", low=0, high=1)
    n_starts: int = setting(10, "Starts of Louvain; the best is kept.", low=1)

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives Louvain's communities at a resolution."""
        graph = shared_neighbors(x, self.n_neighbors, self.prune)
        return lambda r: merge_singletons(
            louvain(graph, r, seed=seed, n_starts=self.n_starts), graph
        )
