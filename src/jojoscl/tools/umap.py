"""UMAP (McInnes, Healy & Melville 2018), in numpy: umap-learn compiles for ten seconds first.

Each epoch moves all cells at once by the edges that it draws, where umap-learn moves one edge after
another.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

N_NEIGHBORS = 15  # with the cell itself, as in scanpy
A, B = 0.583, 1.334  # of the similarity 1 / (1 + A d^2B), for scanpy's min_dist of 0.5
N_REPELLED = 5  # random cells that push one end of a drawn edge away
LARGEST_STEP = 4.0  # of a coordinate, by one pair
MOST_EXACT = 30_000  # cells; neighbors of more are approximate


def umap_coordinates(embedding: np.ndarray, *, seed: int) -> np.ndarray:
    """Return coordinates (n, 2) of an embedding (n, d), from its first two components on."""
    n, rng = len(embedding), np.random.default_rng(seed)
    graph = similarities(*_neighbors(embedding, min(N_NEIGHBORS, n), seed)).tocoo()
    epochs = 500 if n <= 10_000 else 200
    kept = graph.data >= 1 / epochs  # others would hardly be drawn
    heads, tails = graph.row[kept], graph.col[kept]
    weights = graph.data[kept].astype(np.float32)
    y = _start(embedding, rng)
    for epoch in range(epochs):
        drawn = rng.random(len(weights), dtype=np.float32) < weights
        i, j = heads[drawn], tails[drawn]
        step, d2 = _between(y, i, j)
        pull = _limited(-2 * A * B * np.maximum(d2, 1e-12) ** (B - 1) / (1 + A * d2**B), step)
        far = rng.integers(n, size=(N_REPELLED, len(i)), dtype=np.int32)
        step, d2 = _between(y, i, far)
        push = _limited(2 * B / ((0.001 + d2) * (1 + A * d2**B)), step).sum(0)
        y += (1 - epoch / epochs) * (_summed(i, pull + push, n) - _summed(j, pull, n))
    return y


def similarities(neighbors: np.ndarray, distances: np.ndarray) -> sp.csr_matrix:
    """Return the symmetric fuzzy graph (n, n) of neighbors (n, k) and distances, itself first.

    A weight is exp(-(d - rho) / s), where rho is the distance of the nearest and s makes the sum
    over the neighbors log2(k). Two directions a and b become a + b - ab.
    """
    n, k = neighbors.shape
    d = np.maximum(distances[:, 1:] - distances[:, 1:2], 0)  # (n, k - 1)
    low, high, s = np.zeros((n, 1)), np.full((n, 1), np.inf), np.ones((n, 1))
    for _ in range(64):
        small = np.exp(-d / s).sum(1, keepdims=True) < np.log2(k)
        low, high = np.where(small, s, low), np.where(small, high, s)
        s = np.where(np.isinf(high), 2 * s, (low + high) / 2)
    s = np.maximum(s, 1e-3 * d.mean(1, keepdims=True))
    directed = sp.csr_matrix(
        (np.exp(-d / s).ravel(), neighbors[:, 1:].ravel(), np.arange(n + 1) * (k - 1)), shape=(n, n)
    )
    return (directed + directed.T - directed.multiply(directed.T)).tocsr()


def _neighbors(x: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and distances (n, k) of the nearest rows of each row, itself first."""
    if len(x) > MOST_EXACT:
        from pynndescent import NNDescent  # compiles for seconds

        indices, distances = NNDescent(x, n_neighbors=k, random_state=seed).neighbor_graph
    else:
        distances, indices = NearestNeighbors(n_neighbors=k).fit(x).kneighbors(x)
    return indices, distances.astype(float)


def _start(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the first two principal components (n, 2), at most 10, with a little noise."""
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    scores = u[:, :2] * s[:2]
    y = rng.normal(0, 1e-4, (len(x), 2))
    y[:, : scores.shape[1]] += 10 * scores / (np.abs(scores).max() or 1)
    return y.astype(np.float32)


def _between(y: np.ndarray, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the way from j to i, (..., 2), and its squared length."""
    step = y[i] - y[j]
    return step, np.einsum("...c,...c->...", step, step)


def _limited(force: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.clip(force[..., None] * step, -LARGEST_STEP, LARGEST_STEP)


def _summed(i: np.ndarray, moves: np.ndarray, n: int) -> np.ndarray:
    """Return the sum (n, 2) of the moves (m, 2) of each cell."""
    return np.column_stack([np.bincount(i, move, n) for move in moves.T]).astype(np.float32)
