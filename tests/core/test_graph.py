"""Neighbor graphs and communities."""

from __future__ import annotations

import random

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

from jojoscl.core.graph import (
    adaptive_neighbors,
    communities,
    estimate_n_clusters,
    jaccard,
    leiden,
    louvain,
    match_resolution,
    merge_singletons,
    nearest,
    neighbor_graph,
    shared_neighbors,
    smooth,
    strongest,
)


def blobs(n_each: int = 30, n_blobs: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = 8 * rng.standard_normal((n_blobs, 4))
    return np.concatenate([centre + rng.standard_normal((n_each, 4)) for centre in centres])


@pytest.mark.parametrize("prune", [0.0, 1 / 15])
def test_shared_neighbors_equal_the_jaccard_index_of_sets(prune: float) -> None:
    x, k = np.random.default_rng(0).standard_normal((40, 3)), 7
    distances = ((x[:, None] - x) ** 2).sum(2)
    sets = [set(np.argsort(row)[:k]) for row in distances]
    assert all(
        i in neighbors for i, neighbors in enumerate(sets)
    )  # the cell itself is one of the k
    expected = np.zeros((40, 40))
    for i in range(40):
        for j in range(40):
            weight = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
            if i != j and weight >= prune:
                expected[i, j] = weight
    np.testing.assert_allclose(shared_neighbors(x, k, prune).toarray(), expected)


def test_fewer_neighbors_are_the_first_of_more() -> None:
    """So that one search serves several graphs."""
    x = np.random.default_rng(0).standard_normal((60, 4))
    found = jaccard(nearest(x, 20)[:, :7], 1 / 15)
    np.testing.assert_array_equal(found.toarray(), shared_neighbors(x, 7, 1 / 15).toarray())


def test_fewer_cells_than_neighbors() -> None:
    graph = shared_neighbors(np.random.default_rng(0).standard_normal((5, 3)), 20, 1 / 15)
    np.testing.assert_allclose(graph.toarray(), 1 - np.eye(5))


def test_louvain_finds_blobs_and_repeats_itself() -> None:
    graph = shared_neighbors(blobs(), 10, 1 / 15)
    labels = louvain(graph, 0.5, seed=0, n_starts=3)
    truth = np.repeat(np.arange(5), 30)
    assert len({*zip(labels, truth, strict=True)}) == 5
    rough = shared_neighbors(np.random.default_rng(1).standard_normal((200, 5)), 10, 1 / 15)
    one, two = (louvain(rough, 1.0, seed=3, n_starts=1) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert any((louvain(rough, 1.0, seed=seed, n_starts=1) != one).any() for seed in range(5))


def test_louvain_leaves_the_users_random_numbers_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    louvain(shared_neighbors(blobs(), 10, 1 / 15), 1.0, seed=0, n_starts=2)
    assert random.random() == expected


def test_louvain_without_edges() -> None:
    assert len(set(louvain(sp.csr_matrix((4, 4)), 1.0, seed=0, n_starts=1))) == 4


def test_singletons_join_the_cluster_they_are_best_connected_to() -> None:
    weights = np.zeros((6, 6))
    weights[4, [0, 1, 2]] = [0.2, 0.2, 0.5]  # mean .2 to the cluster {0, 1}, .25 to {2, 3}
    weights += weights.T
    graph = sp.csr_matrix(weights)
    merged = merge_singletons(np.array([0, 0, 1, 1, 2, 3]), graph)
    np.testing.assert_array_equal(merged, [0, 0, 1, 1, 1, 2])  # the last has no edge


@pytest.mark.parametrize("n_clusters", [2, 3, 5])
@pytest.mark.parametrize("start", [0.01, 0.8, 50.0])
def test_matching_finds_k_where_it_exists(n_clusters: int, start: float) -> None:
    steps = np.array([0.1, 0.3, 0.35, 2.0])  # one more cluster above each

    def cluster_at(resolution: float) -> np.ndarray:
        return np.arange(100) % (1 + int((resolution > steps).sum()))

    labels, resolution = match_resolution(cluster_at, n_clusters, start=start)
    assert len(np.unique(labels)) == n_clusters
    np.testing.assert_array_equal(labels, cluster_at(resolution))


def test_matching_on_a_graph() -> None:
    graph = shared_neighbors(blobs(), 10, 1 / 15)
    for k in (5, 8):
        labels, _ = match_resolution(lambda r: louvain(graph, r, seed=0, n_starts=2), k, start=0.8)
        assert len(np.unique(labels)) == k


def test_matching_comes_as_near_as_it_can() -> None:
    labels, _ = match_resolution(lambda r: np.arange(12) % (2 if r < 1 else 6), 3, start=0.8)
    assert len(np.unique(labels)) == 2


# ---- nearest neighbors and what is made of them --------------------------------------------------


def test_the_nearest_are_exact_and_the_cell_is_the_first() -> None:
    x = np.random.default_rng(0).standard_normal((60, 4))
    expected = np.linalg.norm(x[:, None] - x, axis=2).argsort(1)[:, :5]
    np.testing.assert_array_equal(nearest(x, 5), expected)


@pytest.mark.parametrize(
    ("n_cells", "factor", "expected"),
    [(90, 0.7, 8), (420, 0.7, 14), (12_261, 0.7, 20), (5, 0.7, 4), (2, 0.0, 1)],
)
def test_neighbors_by_the_number_of_cells(n_cells: int, factor: float, expected: int) -> None:
    assert adaptive_neighbors(n_cells, factor, [8, 20]) == expected


def rough_graph(n: int = 40) -> sp.csr_matrix:
    return shared_neighbors(np.random.default_rng(2).standard_normal((n, 3)), 7, 0.0)


@pytest.mark.parametrize("n_edges", [1, 4, 100])
def test_the_strongest_edges_by_a_dense_loop(n_edges: int) -> None:
    graph = rough_graph()
    dense, expected = graph.toarray(), []
    for cell in range(40):
        order = sorted(np.flatnonzero(dense[cell]), key=lambda other: (-dense[cell, other], other))
        expected += [(cell, other, dense[cell, other]) for other in order[:n_edges]]
    assert list(zip(*strongest(graph, n_edges), strict=True)) == expected


def test_smoothing_by_a_dense_loop() -> None:
    graph, x = rough_graph(), np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    weights = graph.toarray()
    np.fill_diagonal(weights, weights.max())
    found = smooth(x, graph)
    np.testing.assert_allclose(
        found, weights @ x / weights.sum(1, keepdims=True), rtol=1e-5, atol=1e-6
    )
    assert found.dtype == np.float32


def test_smoothing_draws_blobs_together_and_mixes_none() -> None:
    x, truth = blobs(), np.repeat(np.arange(5), 30)
    found = smooth(x, shared_neighbors(x, 10, 1 / 15))
    for k in range(5):
        assert (found[truth == k].std(0) < 0.8 * x[truth == k].std(0)).all()
        np.testing.assert_allclose(found[truth == k].mean(0), x[truth == k].mean(0), atol=0.3)


def test_a_cell_without_neighbors_stays() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(smooth(x, sp.csr_matrix((4, 4))), x)
    np.testing.assert_allclose(smooth(x, shared_neighbors(x, 1, 0.0)), x)


# ---- communities, and their number ---------------------------------------------------------------


def test_communities_are_the_blobs_by_either_graph() -> None:
    x, truth = blobs(), np.repeat(np.arange(5), 30)
    assert (
        adjusted_rand_score(truth, communities(shared_neighbors(x, 10, 1 / 15), 0.5, seed=0)) == 1
    )
    assert adjusted_rand_score(truth, leiden(neighbor_graph(x, 15, seed=0), 1.0, seed=0)) == 1


def test_communities_repeat_themselves_and_leave_the_users_random_numbers_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    one, two = (communities(rough_graph(200), 2.0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert random.random() == expected


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_the_number_of_blobs_is_estimated(k: int) -> None:
    graph = shared_neighbors(blobs(n_blobs=k), 10, 1 / 15)
    assert estimate_n_clusters(graph, resolution=0.5, min_cells=3, seed=0) == k
    assert estimate_n_clusters(graph, resolution=0.5, min_cells=31, seed=0) == 2, (
        "small ones do not count; never below 2"
    )


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_few_cells_have_a_number_of_communities(n: int) -> None:
    graph = shared_neighbors(np.random.default_rng(0).standard_normal((n, 3)), n - 1, 0.0)
    assert 2 <= estimate_n_clusters(graph, resolution=0.5, min_cells=1, seed=0) <= n
