"""Neighbour graphs and their communities: what Seurat and Leiden share."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import igraph
import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

ClusterAt = Callable[[float], np.ndarray]
"""Labels (n_cells,) at a resolution."""


def principal_components(x: np.ndarray, n_pcs: int, *, seed: int) -> np.ndarray:
    """Coordinates (n_cells, n_pcs) float32 of cells x (n_cells, n_genes); fewer if the matrix has fewer."""
    n_pcs = min(n_pcs, min(x.shape) - 1)
    fitted = PCA(n_pcs, svd_solver="arpack", random_state=seed)  # exact, as in scanpy
    return np.asarray(fitted.fit_transform(x), dtype=np.float32)


def shared_neighbours(x: np.ndarray, n_neighbors: int, prune: float) -> sp.csr_matrix:
    """Seurat's graph: two cells are joined by the Jaccard index of their sets of nearest neighbours.

    Parameters
    ----------
    x
        (n_cells, d); the neighbours are exact, by Euclidean distance.
    n_neighbors
        Size k of each set, which holds the cell itself.
    prune
        A smaller weight |A ∩ B| / (2k - |A ∩ B|) is set to 0.

    Returns
    -------
    (n_cells, n_cells), symmetric, diagonal 0.
    """
    k = min(n_neighbors, len(x))
    index = NearestNeighbors(n_neighbors=k).fit(x).kneighbors(x, return_distance=False)
    sets = sp.csr_matrix((np.ones(index.size), index.ravel(), np.arange(0, index.size + 1, k)), shape=(len(x),) * 2)
    graph = (sets @ sets.T).tocsr()
    graph.data /= 2 * k - graph.data
    graph.data[graph.data < prune] = 0
    graph.setdiag(0)
    graph.eliminate_zeros()
    return graph


def louvain(graph: sp.csr_matrix, resolution: float, *, seed: int, n_starts: int) -> np.ndarray:
    """Louvain communities (n_cells,), the best modularity of `n_starts` orders (Blondel et al. 2008)."""
    upper = sp.triu(graph, k=1).tocoo()
    g = igraph.Graph(n=graph.shape[0], edges=np.column_stack([upper.row, upper.col]), edge_attrs={"weight": upper.data})
    if not g.ecount():
        return np.arange(g.vcount())
    with _igraph_seed(seed):
        starts = [g.community_multilevel(weights="weight", resolution=resolution) for _ in range(n_starts)]
    best = max(starts, key=lambda c: g.modularity(c.membership, weights="weight", resolution=resolution))
    return np.asarray(best.membership, dtype=np.int64)


def merge_singletons(labels: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Labels 0 .. K-1 in which each cluster of one cell has joined the one it is best connected to.

    That is by mean weight; a cell without any edge stays alone.
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
    """Labels of `n_clusters` clusters and their resolution, by bisection on its logarithm.

    The number of clusters hardly ever falls as the resolution rises, and may skip a value: then the labels
    are those whose number came nearest.
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


@contextmanager
def _igraph_seed(seed: int) -> Iterator[None]:
    """igraph draws from Python's `random`, whose state is the user's: give it a generator of our own."""
    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)
