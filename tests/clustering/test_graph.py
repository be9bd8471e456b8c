"""Neighbor graphs and communities."""

from __future__ import annotations

import random

import numpy as np
import pytest
import scipy.sparse as sp

from jojoscl.clustering.graph import louvain, match_resolution, merge_singletons, shared_neighbors
from jojoscl.model.anchor import principal_components


def blobs(n_each: int = 30, n_blobs: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = 8 * rng.standard_normal((n_blobs, 4))
    return np.concatenate([centre + rng.standard_normal((n_each, 4)) for centre in centres])


@pytest.mark.parametrize("prune", [0.0, 1 / 15])
def test_shared_neighbors_equal_the_jaccard_index_of_sets(prune: float) -> None:
    x, k = np.random.default_rng(0).standard_normal((40, 3)), 7
    distances = ((x[:, None] - x) ** 2).sum(2)
    sets = [set(np.argsort(row)[:k]) for row in distances]
    assert all(i in neighbors for i, neighbors in enumerate(sets))  # the cell itself is one of the k
    expected = np.zeros((40, 40))
    for i in range(40):
        for j in range(40):
            weight = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
            if i != j and weight >= prune:
                expected[i, j] = weight
    np.testing.assert_allclose(shared_neighbors(x, k, prune).toarray(), expected)


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


def test_principal_components_equal_the_svd() -> None:
    x = np.random.default_rng(0).standard_normal((30, 12)).astype(np.float32)
    centred = x - x.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    found = principal_components(x, 4, seed=0)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :4] * s[:4]), atol=1e-4)
    assert principal_components(x, 50, seed=0).shape == (30, 11)
