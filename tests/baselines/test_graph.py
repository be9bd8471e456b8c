"""Communities of Seurat's and of scanpy's graphs, and the resolution that gives K."""

from __future__ import annotations

import random

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.graph import (
    leiden,
    louvain,
    match_resolution,
    merge_singletons,
    neighbor_graph,
    shared_neighbors,
)
from tests.small import blobs


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


def test_leiden_finds_blobs() -> None:
    x, truth = blobs(), np.repeat(np.arange(5), 30)
    assert adjusted_rand_score(truth, leiden(neighbor_graph(x, 15, seed=0), 1.0, seed=0)) == 1
