"""From embeddings to clusters, and to their number."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jojoscl.clustering.graph import estimate_n_clusters, leiden, neighbor_graph, neighbors_within
from jojoscl.clustering.kmeans import kmeans, nearest_mean


def blobs(k: int, size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Cells (k * size, 12) far apart by type, and their types."""
    rng = np.random.default_rng(k)
    types = np.repeat(np.arange(k), size)
    return (10 * rng.standard_normal((k, 12))[types] + rng.standard_normal((k * size, 12))), types


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_the_number_of_blobs_is_estimated(k: int) -> None:
    assert estimate_n_clusters(blobs(k)[0], min_cells=3, seed=0) == k


@pytest.mark.parametrize("start", [None, "means"])
def test_many_cells_are_clustered_by_batches(monkeypatch: pytest.MonkeyPatch, start: str | None) -> None:
    monkeypatch.setattr("jojoscl.clustering.kmeans._BATCHES_ABOVE", 100)
    x, types = blobs(4)
    means = np.stack([x[types == k].mean(0) for k in range(4)])
    (labels, centroids), again = (kmeans(x, 4, seed=1, start=means if start else None) for _ in range(2))
    np.testing.assert_array_equal(labels, again[0])
    assert adjusted_rand_score(types, labels) == 1
    np.testing.assert_allclose(centroids[labels], means[types], atol=0.5)
    if start:
        np.testing.assert_array_equal(labels, types)


def test_neighbors_within_blocks_are_the_nearest_of_the_block() -> None:
    x = blobs(3, 20)[0]
    whole = neighbors_within(x, 4, 60, seed=0)
    distance = np.linalg.norm(x[:, None] - x, axis=2)
    np.testing.assert_array_equal(whole, distance.argsort(1)[:, :4])
    some = neighbors_within(x, 4, 31, seed=0)
    np.testing.assert_array_equal(some[:, 0], np.arange(60))
    block = {frozenset(np.flatnonzero(connected)) for connected in _reached(some)}
    assert sorted(map(len, block)) == [30, 30] or max(map(len, block)) <= 30
    assert neighbors_within(x, 4, 2, seed=0).shape == (60, 2), "no more than a block has"


def _reached(neighbors: np.ndarray) -> np.ndarray:
    """Which cells (n, n) can be reached from which."""
    joined = np.eye(len(neighbors), dtype=bool)
    joined[np.arange(len(neighbors))[:, None], neighbors] = True
    for _ in range(6):
        joined = (joined | joined.T) @ joined
    return joined


def test_cells_join_the_nearest_mean() -> None:
    x, types = blobs(5)
    np.testing.assert_array_equal(nearest_mean(x, x[::2], types[::2]), types)


def test_communities_are_the_blobs() -> None:
    x, types = blobs(4)
    assert adjusted_rand_score(types, leiden(neighbor_graph(x, 15, seed=0), 1.0, seed=0)) == 1


def test_communities_below_the_least_size_do_not_count() -> None:
    x, _ = blobs(4)
    assert estimate_n_clusters(x, min_cells=61, seed=0) == 2  # never below two


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_few_cells(n: int) -> None:
    assert 2 <= estimate_n_clusters(np.random.default_rng(0).standard_normal((n, 3)), min_cells=1, seed=0) <= n
