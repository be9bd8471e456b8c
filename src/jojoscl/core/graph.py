"""Neighbor graphs and their communities: what Seurat and Leiden share."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import igraph
import numpy as np
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

ClusterAt = Callable[[float], np.ndarray]
"""Labels (n_cells,) at a resolution."""


def nearest(x: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Return the indices (n, n_neighbors) of the exact nearest neighbors of each row of x (n, d), itself the first."""
    return np.asarray(
        NearestNeighbors(n_neighbors=n_neighbors).fit(x).kneighbors(x, return_distance=False)
    )


def shared_neighbors(x: np.ndarray, n_neighbors: int, prune: float) -> sp.csr_matrix:
    """Seurat's graph: two cells are joined by the Jaccard index of their sets of nearest neighbors.

    Parameters
    ----------
    x
        (n_cells, d); the neighbors are exact, by Euclidean distance.
    n_neighbors
        Size k of each set, which holds the cell itself.
    prune
        A smaller weight |A ∩ B| / (2k - |A ∩ B|) is set to 0.

    Returns
    -------
    (n_cells, n_cells), symmetric, diagonal 0.
    """
    return jaccard(nearest(x, min(n_neighbors, len(x))), prune)


def jaccard(neighbors: np.ndarray, prune: float) -> sp.csr_matrix:
    """Return the graph of :func:`shared_neighbors`, given each cell's set as indices (n_cells, k)."""
    n, k = neighbors.shape
    sets = sp.csr_matrix(
        (np.ones(n * k, np.float32), neighbors.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n)
    )
    graph = (sets @ sets.T).tocsr()
    graph.data /= 2 * k - graph.data
    graph.data[graph.data < prune] = 0
    graph.setdiag(0)
    graph.eliminate_zeros()
    return graph


def adaptive_neighbors(n_cells: int, factor: float, bounds: Sequence[int]) -> int:
    """Return factor * sqrt(n_cells) within bounds (fewest, most): few cells have small types, which many would drown.

    >>> [adaptive_neighbors(n, 0.7, (8, 20)) for n in (90, 420, 12_261)]
    [8, 14, 20]
    """
    return int(min(max(round(factor * n_cells**0.5), bounds[0]), bounds[1], n_cells - 1))


def strongest(graph: sp.csr_matrix, n_edges: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs i, j and weights of the `n_edges` strongest edges of each cell, each (m,)."""
    cells = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    order = np.lexsort((graph.indices, -graph.data, cells))
    rank = np.arange(len(order)) - graph.indptr[cells[order]]
    kept = order[rank < n_edges]
    return cells[kept], graph.indices[kept], graph.data[kept]


def smooth(x: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Return each row of x (n, d) moved to the mean of its neighbors in `graph` (n, n), by weight.

    A cell's own weight is the largest of all.
    """
    weights = graph + sp.eye(len(x)) * (graph.max() or 1.0)
    return np.asarray(weights @ x / weights.sum(1), dtype=x.dtype)


def _igraph(graph: sp.csr_matrix) -> igraph.Graph:
    upper = sp.triu(graph, k=1).tocoo()
    edges = np.column_stack([upper.row, upper.col]).tolist()  # slower as an array
    return igraph.Graph(n=graph.shape[0], edges=edges, edge_attrs={"weight": upper.data})


def communities(graph: sp.csr_matrix, resolution: float, *, seed: int) -> np.ndarray:
    """Return Leiden communities (n,) of a weighted graph, by modularity (Traag et al., Sci Rep 2019)."""
    g = _igraph(graph)
    with _igraph_seed(seed):
        found = g.community_leiden(
            "modularity", weights="weight", resolution=resolution, n_iterations=2
        )
    return np.asarray(found.membership, dtype=np.int64)


def louvain(graph: sp.csr_matrix, resolution: float, *, seed: int, n_starts: int) -> np.ndarray:
    """Return Louvain communities (n_cells,), the best modularity of `n_starts` orders (Blondel et al. 2008)."""
    g = _igraph(graph)
    if not g.ecount():
        return np.arange(g.vcount())
    with _igraph_seed(seed):
        starts = [
            g.community_multilevel(weights="weight", resolution=resolution) for _ in range(n_starts)
        ]
    best = max(
        starts, key=lambda c: g.modularity(c.membership, weights="weight", resolution=resolution)
    )
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


@contextmanager
def _igraph_seed(seed: int) -> Iterator[None]:
    """Igraph draws from Python's `random`, whose state is the user's: give it a generator of our own."""
    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def neighbor_graph(x: np.ndarray, n_neighbors: int, *, seed: int) -> AnnData:
    """Scanpy's graph of the nearest neighbors of x (n, d), weighted as in UMAP."""
    graph = AnnData(x.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # umap's and numba's words about threads and versions are not for the user
        sc.pp.neighbors(
            graph, n_neighbors=min(n_neighbors, len(x) - 1), use_rep="X", random_state=seed
        )
    return graph


def leiden(graph: AnnData, resolution: float, *, seed: int) -> np.ndarray:
    """Leiden communities (n,) of a :func:`neighbor_graph` (Traag et al., Sci Rep 2019)."""
    sc.tl.leiden(
        graph, resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False
    )
    return np.asarray(graph.obs["leiden"], dtype=np.int64)


def estimate_n_clusters(
    graph: sp.csr_matrix, *, resolution: float, min_cells: int, seed: int
) -> int:
    """Return K where nobody tells it: the communities of `min_cells` or more in a graph of cells, at least 2."""
    sizes = np.bincount(communities(graph, resolution, seed=seed))
    return max(2, int((sizes >= min_cells).sum()))
