"""Smoothing, weighted linkage and consensus against scipy, brute force and cases done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import adjusted_rand_score

from jojoscl.clustering.consensus import (
    average_linkage,
    consensus,
    cut,
    first_merges,
    join_small,
    mean_square_distances,
    micro_linkage,
    snn_mean,
)

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 3))


def blobs(sizes: tuple[int, ...], spread: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian blobs around far corners, and which cell is in which."""
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return 5 * np.eye(len(sizes))[truth] + np.random.default_rng(1).normal(0, spread, (len(truth), len(sizes))), truth


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return adjusted_rand_score(a, b) == 1


# ---- linkage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 5, 17, 60])
def test_average_linkage_of_single_cells_is_scipys(k: int) -> None:
    distance = cdist(POINTS, POINTS, "sqeuclidean")
    ours = average_linkage(distance, np.ones(60), k)
    theirs = fcluster(linkage(pdist(POINTS, "sqeuclidean"), "average"), k, "maxclust")
    assert same(ours, theirs)
    assert sorted(set(ours)) == list(range(k))


def test_an_item_of_several_cells_counts_as_often() -> None:
    sizes = RNG.integers(1, 6, 60)
    cells = np.repeat(np.arange(60), sizes)
    weighted = average_linkage(cdist(POINTS, POINTS, "sqeuclidean"), sizes, 6)[cells]
    assert same(weighted, fcluster(linkage(pdist(POINTS[cells], "sqeuclidean"), "average"), 6, "maxclust"))
    assert not same(weighted, average_linkage(cdist(POINTS, POINTS, "sqeuclidean"), np.ones(60), 6)[cells])


def test_linkage_leaves_its_arguments_alone() -> None:
    distance, sizes = cdist(POINTS, POINTS), np.ones(60)
    before = distance.copy()
    average_linkage(distance, sizes, 3)
    np.testing.assert_array_equal(distance, before)
    np.testing.assert_array_equal(sizes, 1)


def test_mean_square_distances_are_means_over_pairs() -> None:
    labels = np.arange(60) % 4
    found, sizes = mean_square_distances(POINTS, labels)
    pairs = cdist(POINTS, POINTS, "sqeuclidean")
    expected = [[pairs[labels == i][:, labels == j].mean() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(sizes, 15)


@pytest.mark.parametrize(("sizes", "n_micro"), [((300, 40, 8), 60), ((4, 3, 2), 150), ((1, 1), 150)])
def test_micro_linkage_finds_blobs_of_uneven_size(sizes: tuple[int, ...], n_micro: int) -> None:
    x, truth = blobs(sizes)
    micro, cluster_of = micro_linkage(x, len(sizes), n_micro, seed=0)
    assert same(cluster_of[micro], truth)


# ---- smoothing -------------------------------------------------------------------------------------------------


def test_snn_mean_by_brute_force() -> None:
    k = 7
    nearest = [set(row) for row in cdist(POINTS, POINTS).argsort(1)[:, :k]]
    weights = np.array([[len(a & b) / len(a | b) for b in nearest] for a in nearest])
    np.fill_diagonal(weights, 0)
    weights[weights < 1 / 15] = 0
    np.fill_diagonal(weights, weights.max())
    expected = weights @ POINTS / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(snn_mean(POINTS, k), expected)


def test_snn_mean_draws_blobs_together_and_mixes_none() -> None:
    x, truth = blobs((50, 50), spread=1)
    smooth = snn_mean(x, 10)
    assert (smooth[truth == 0].std(0) < 0.8 * x[truth == 0].std(0)).all()
    assert np.abs(smooth[truth == 0].mean(0) - x[truth == 0].mean(0)).max() < 0.3


@pytest.mark.parametrize("n", [2, 3])
def test_snn_mean_of_a_few_cells_is_finite(n: int) -> None:
    assert np.isfinite(snn_mean(POINTS[:n], 20)).all()


# ---- consensus -------------------------------------------------------------------------------------------------


def agree(partitions: list[np.ndarray], k: int, min_cells: int = 1, landmarks: int = 1000) -> np.ndarray:
    return consensus(partitions, k, min_cells=min_cells, landmarks=landmarks, seed=0).labels


def test_consensus_of_equal_partitions_is_that_partition() -> None:
    labels = RNG.integers(4, size=80)
    found = consensus([labels, (labels + 1) % 4, 3 - labels], 4, min_cells=1, landmarks=100, seed=0)
    assert same(found.labels, labels)
    np.testing.assert_allclose(found.confidence, 1)


def test_confidence_by_hand() -> None:
    """Cell 2 is with cells 0 and 1 in two of three partitions and with 3 to 5 in one."""
    a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    found = consensus([a, a, b], 2, min_cells=1, landmarks=6, seed=0)
    assert same(found.labels, a)
    np.testing.assert_allclose(found.confidence, [8 / 9, 8 / 9, 7 / 9, 1, 1, 1], rtol=1e-6)


def test_outvoted_partitions_do_not_count() -> None:
    truth = np.repeat([0, 1, 2], 30)
    noisy = [np.where(RNG.random(90) < 0.1, RNG.integers(3, size=90), truth) for _ in range(9)]
    assert same(agree(noisy, 3), truth)


@pytest.mark.parametrize("k", [2, 3, 4, 5, 8])
def test_k_clusters_are_found_whatever_ties_there_are(k: int) -> None:
    labels = np.repeat(np.arange(4), 10)  # four equal blocks: every merge above them is a tie
    assert len(set(agree([labels, labels], k))) == k
    assert len(set(agree([labels, labels], k, min_cells=8))) == k


def test_a_small_type_is_kept_and_outliers_join() -> None:
    """1000 cells: types of 600, 390 and 6, and four outliers that every partition sets apart one by one."""
    labels = np.repeat(np.arange(7), [600, 390, 6, 1, 1, 1, 1])
    near = np.where(labels >= 3, 1, labels)  # one partition puts the outliers to the second type
    found = agree([labels, labels, near], 3, min_cells=2)
    assert same(found, near)


def test_landmarks_give_what_the_whole_tree_gives() -> None:
    truth = RNG.integers(3, size=600)
    noisy = [np.where(RNG.random(600) < 0.1, RNG.integers(3, size=600), truth) for _ in range(9)]
    whole, sampled = agree(noisy, 3), agree(noisy, 3, landmarks=150)
    assert adjusted_rand_score(whole, sampled) > 0.97
    assert len(set(agree(noisy, 40, landmarks=150))) == 40  # none is lost among the cells that are not landmarks


def test_cut_goes_down_until_k_clusters_are_large_enough() -> None:
    x = np.concatenate([np.zeros(20), np.full(20, 10.0), [100.0, 200.0]])[:, None]
    tree = linkage(x + RNG.normal(0, 0.01, x.shape), "average")
    assert np.bincount(cut(tree, 2, 0.0)).min() == 1  # an outlier is a cluster of its own
    assert sorted(np.bincount(cut(tree, 2, 3))) == [1, 1, 20, 20]


def test_first_merges_are_scipys() -> None:
    tree = linkage(POINTS, "average")
    for k in (1, 2, 9, 59, 60):
        labels = first_merges(tree, 60 - k)
        assert len(set(labels)) == k
        assert same(labels, fcluster(tree, k, "maxclust"))


def test_join_small_by_hand() -> None:
    """The last cell is together with one of the second pair in half of the partitions, with the first pair in .2."""
    together = np.array(
        [[1, 1, 0, 0, 0.2], [1, 1, 0, 0, 0.2], [0, 0, 1, 1, 0.5], [0, 0, 1, 1, 0], [0.2, 0.2, 0.5, 0, 1]]
    )
    labels = join_small(together, np.array([0, 0, 1, 1, 2]), 2)
    assert same(labels, np.array([0, 0, 1, 1, 1]))
