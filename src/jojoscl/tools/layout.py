"""Cells in the plane, by UMAP."""

from __future__ import annotations

import logging

import numpy as np

from jojoscl.core.positives import igraph_seed
from jojoscl.utils.progress import finished
from jojoscl.utils.seeding import at_most

log = logging.getLogger(__name__)

NEIGHBORS, MIN_DIST = 15, 0.5  # as scanpy has them
EPOCHS = 100
MOST_CELLS = 20_000  # more are hidden behind each other


def umap_coordinates(embedding: np.ndarray, seed: int) -> np.ndarray:
    """Return the UMAP coordinates (n, 2) of an embedding (n, d), float32.

    McInnes, Healy & Melville, arXiv 1802.03426, by igraph, which has nothing to compile first. Its
    neighbors are exact, and it starts from the first two dimensions. Above 20,000 cells a random
    subset gets coordinates, the others NaN; the log says so.
    """
    import igraph  # slow to import, as is scikit-learn: not before it is needed
    from sklearn.neighbors import NearestNeighbors

    some = at_most(np.arange(len(embedding)), MOST_CELLS, seed=seed)  # (m,)
    if len(some) < len(embedding):
        log.warning("the UMAP is that of %d random cells of %d", len(some), len(embedding))
    x = embedding[some]
    k = min(NEIGHBORS, len(x) - 1)
    distances, neighbors = NearestNeighbors(n_neighbors=k).fit(x).kneighbors()  # (m, k)
    finished("neighbors")
    edges = zip(np.repeat(np.arange(len(x)), k).tolist(), neighbors.ravel().tolist(), strict=True)
    graph = igraph.Graph(len(x), edges, directed=True)
    start = np.zeros((len(x), 2))
    start[:, : x.shape[1]] = x[:, :2] * (10 / max(np.abs(x[:, :2]).max(), 1e-12))
    with igraph_seed(seed):
        layout = graph.layout_umap(
            dist=distances.ravel().tolist(), seed=start.tolist(), min_dist=MIN_DIST, epochs=EPOCHS
        )
    coordinates = np.full((len(embedding), 2), np.nan, np.float32)
    coordinates[some] = layout.coords
    return coordinates
