"""Leiden as scanpy runs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jojoscl.baselines.components import OnGraph
from jojoscl.baselines.graph import ClusterAt, leiden, neighbor_graph


@dataclass(kw_only=True)
class Leiden(OnGraph, name="leiden"):
    """Principal components, UMAP's fuzzy neighbor graph, Leiden (Traag et al. 2019), as in scanpy.

    With `match_k` the resolution is searched until there are K clusters.
    """

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives Leiden's communities at a resolution."""
        graph = neighbor_graph(x, self.n_neighbors, seed=seed)
        return lambda resolution: leiden(graph, resolution, seed=seed)
