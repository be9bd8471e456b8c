"""Which cells are positives: nearest neighbors, the graph of shared ones, its communities.

Of several samples, neighbors are sought after Harmony, so that they cross samples.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from jojoscl.core import gpu
from jojoscl.core.interface import side_by_side
from jojoscl.core.kmeans import one_openmp_thread
from jojoscl.utils.errors import UserError

if TYPE_CHECKING:
    import igraph  # imports matplotlib: not before it is needed

PRUNE = 1 / 15  # a smaller Jaccard index of two cells' neighbors counts as none, as in Seurat
BATCH = 1280  # cells of a task: above 1,024 scikit-learn goes through them in order


def nearest(x: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Return the indices (n, k) of the exact nearest rows of each row of x (n, d), itself first."""
    if gpu.in_use():
        return gpu.nearest(x, n_neighbors)
    from sklearn.neighbors import NearestNeighbors  # slow to import: not before it is needed
    from sklearn.utils import gen_batches

    index = NearestNeighbors(n_neighbors=n_neighbors).fit(x)

    def of(rows: slice) -> np.ndarray:
        with one_openmp_thread():
            return np.asarray(index.kneighbors(x[rows], return_distance=False))

    batches = gen_batches(len(x), BATCH, min_batch_size=BATCH)
    return np.concatenate(side_by_side(partial(of, rows) for rows in batches))


def jaccard(neighbors: np.ndarray, prune: float = PRUNE) -> sp.csr_matrix:
    """Return the graph (n, n) that joins two cells by the Jaccard index of their sets of neighbors.

    Parameters
    ----------
    neighbors
        (n, k), each set as indices; the cell itself is one.
    prune
        A smaller weight |A ∩ B| / (2 k - |A ∩ B|) is set to 0.

    Returns
    -------
    Symmetric, diagonal 0.
    """
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


def strongest(graph: sp.csr_matrix, n_edges: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs i, j and weights (m,) of the `n_edges` strongest edges of each cell."""
    graph = graph.sorted_indices()
    cells = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    order = np.lexsort((-graph.data, cells))
    rank = np.arange(len(order)) - graph.indptr[cells]
    kept = order[rank < n_edges]
    return cells[kept], graph.indices[kept], graph.data[kept]


def smooth(x: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Return each row of x (n, d) moved to the mean of its neighbors in `graph` (n, n), by weight.

    The weight of the cell itself is the largest of the graph.
    """
    weights = graph + sp.eye(len(x)) * (graph.max() or 1.0)
    return np.asarray(weights @ x / weights.sum(1), dtype=x.dtype)


def communities(graph: sp.csr_matrix, resolution: float, *, seed: int) -> np.ndarray:
    """Return Leiden communities (n,) of a graph, by modularity (Traag et al., Sci Rep 2019)."""
    g = to_igraph(graph)
    with igraph_seed(seed):
        found = g.community_leiden(
            "modularity", weights="weight", resolution=resolution, n_iterations=2
        )
    return np.asarray(found.membership, dtype=np.int64)


def to_igraph(graph: sp.csr_matrix) -> "igraph.Graph":
    """Return a symmetric graph (n, n) as igraph has it, with edge weights."""
    import igraph

    upper = sp.triu(graph, k=1).tocoo()
    edges = zip(upper.row.tolist(), upper.col.tolist(), strict=True)  # slower as a list or an array
    return igraph.Graph(n=graph.shape[0], edges=edges, edge_attrs={"weight": upper.data})


@contextmanager
def igraph_seed(seed: int) -> Iterator[None]:
    """Give igraph a generator of its own: it draws from Python's `random`, the user's."""
    import igraph

    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Return the rows of x (n, d) on the unit sphere; a row of zeros stays."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def without_samples(x: np.ndarray, samples: np.ndarray, *, seed: int) -> np.ndarray:
    """Return x (n, d) float32 less what differs between samples (n,) of like cells, by Harmony.

    Korsunsky et al., Nat Methods 2019, with the defaults of harmonypy.
    """
    try:
        from harmonypy import run_harmony
    except ModuleNotFoundError as error:
        raise UserError(
            "Several samples (batch_key) need harmonypy: pip install 'jojoscl[batch]'."
        ) from error
    n_clusters = min(max(2, round(len(x) / 30)), 100)
    columns = {"sample": np.unique(samples, return_inverse=True)[1].astype(str)}
    settings = {"nclust": n_clusters, "random_state": seed % 2**31, "ncores": 1, "verbose": False}
    return np.ascontiguousarray(
        run_harmony(x.T.astype(np.float64), columns, "sample", **settings).Z_corr, np.float32
    )
