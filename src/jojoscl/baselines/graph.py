"""Neighbor graphs and their communities, as Seurat and scanpy make them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.core.positives import igraph_seed, jaccard, nearest, to_igraph

ClusterAt = Callable[[float], np.ndarray]
"""Labels (n_cells,) at a resolution."""


def shared_neighbors(x: np.ndarray, n_neighbors: int, prune: float) -> sp.csr_matrix:
    """Return Seurat's graph of cells x (n, d): the Jaccard index of their sets of neighbors."""
    return jaccard(nearest(x, min(n_neighbors, len(x))), prune)


def louvain(graph: sp.csr_matrix, resolution: float, *, seed: int, n_starts: int) -> np.ndarray:
    """Return Louvain communities (n,), the best of `n_starts` orders (Blondel et al. 2008)."""
    g = to_igraph(graph)
    if not g.ecount():
        return np.arange(g.vcount())
    with igraph_seed(seed):
        starts = [
            g.community_multilevel(weights="weight", resolution=resolution) for _ in range(n_starts)
        ]
    best = max(
        starts, key=lambda c: g.modularity(c.membership, weights="weight", resolution=resolution)
    )
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


def match_resolution(
    cluster_at: ClusterAt, n_clusters: int, *, start: float, n_steps: int = 40
) -> tuple[np.ndarray, float]:
    """Return labels of `n_clusters` clusters and their resolution, by bisection on its logarithm.

    The number of clusters hardly ever falls as the resolution rises, and may skip a value: then the
    labels are those whose number came nearest.
    """
    low, high, resolution = 0.0, math.inf, start
    best: tuple[int, np.ndarray, float] | None = None
    for _ in range(n_steps):
        labels = cluster_at(resolution)
        excess = len(np.unique(labels)) - n_clusters
        if best is None or abs(excess) < best[0]:
            best = abs(excess), labels, resolution
        if excess == 0:
            break
        low, high = (low, resolution) if excess > 0 else (resolution, high)
        if low == 0:
            resolution = high / 2
        elif math.isinf(high):
            resolution = low * 2
        else:
            resolution = math.sqrt(low * high)
    assert best is not None
    return best[1], best[2]


def neighbor_graph(x: np.ndarray, n_neighbors: int, *, seed: int) -> AnnData:
    """Return scanpy's graph of the nearest neighbors of x (n, d), weighted as in UMAP."""
    graph = AnnData(x.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what umap and numba say of threads and versions
        sc.pp.neighbors(
            graph, n_neighbors=min(n_neighbors, len(x) - 1), use_rep="X", random_state=seed
        )
    return graph


def leiden(graph: AnnData, resolution: float, *, seed: int) -> np.ndarray:
    """Return Leiden communities (n,) of a :func:`neighbor_graph` (Traag et al., Sci Rep 2019)."""
    sc.tl.leiden(
        graph, resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False
    )
    return np.asarray(graph.obs["leiden"], dtype=np.int64)
