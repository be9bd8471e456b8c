"""Seurat's clustering by its defaults, with exact neighbors in place of approximate ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from jojoscl.baselines.graph import ClusterAt, OnGraph
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.positives import igraph_seed, jaccard, nearest, to_igraph
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
        graph = jaccard(nearest(x, min(self.n_neighbors, len(x))), self.prune)
        n_starts = self.n_starts
        return lambda r: merge_singletons(louvain(graph, r, seed=seed, n_starts=n_starts), graph)


def louvain(graph: sp.csr_matrix, resolution: float, *, seed: int, n_starts: int) -> np.ndarray:
    """Return Louvain communities (n,), the best of `n_starts` orders (Blondel et al. 2008)."""
    g = to_igraph(graph)
    if not g.ecount():
        return np.arange(g.vcount())
    how = {"weights": "weight", "resolution": resolution}
    with igraph_seed(seed):
        starts = [g.community_multilevel(**how) for _ in range(n_starts)]
    best = max(starts, key=lambda start: g.modularity(start.membership, **how))
    return np.asarray(best.membership, dtype=np.int64)


def merge_singletons(labels: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Return labels 0 .. K-1; a cluster of one cell joins the one it is best connected to.

    That is by mean weight. A cell without any edge stays alone.
    """
    labels = labels.copy()
    sizes = np.bincount(labels)
    kept = np.flatnonzero(sizes > 1)
    for cell in np.flatnonzero(sizes[labels] == 1):
        weights = graph[[cell]].toarray().ravel()
        strength = np.bincount(labels, weights, minlength=len(sizes))[kept] / sizes[kept]
        if strength.size and strength.max() > 0:
            labels[cell] = kept[strength.argmax()]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
