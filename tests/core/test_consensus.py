"""Linkage and consensus against scipy, brute force and cases done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import adjusted_rand_score

from jojoscl.core.consensus import (
    Consensus,
    consensus,
    cut,
    join_small,
    mean_square_distances,
    micro_linkage,
    one_hot,
    size_linkage,
)

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 3))
SQUARES = cdist(POINTS, POINTS, "sqeuclidean")


def blobs(sizes: tuple[int, ...], spread: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian blobs around far corners, and which cell is in which."""
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return 5 * np.eye(len(sizes))[truth] + np.random.default_rng(1).normal(
        0, spread, (len(truth), len(sizes))
    ), truth


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return adjusted_rand_score(a, b) == 1


def noisy(n: int, n_partitions: int = 9) -> tuple[np.ndarray, list[np.ndarray]]:
    """Three types (n,), and partitions in which a tenth of the cells are anywhere."""
    truth = np.random.default_rng(3).integers(3, size=n)
    rng = np.random.default_rng(4)
    return truth, [
        np.where(rng.random(n) < 0.1, rng.integers(3, size=n), truth) for _ in range(n_partitions)
    ]


# ---- linkage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5, 17, 60])
def test_exponent_zero_is_average_linkage(k: int) -> None:
    ours = cut(size_linkage(SQUARES, np.ones(60), 0), k)
    assert same(ours, fcluster(linkage(pdist(POINTS, "sqeuclidean"), "average"), k, "maxclust"))
    assert sorted(set(ours)) == list(range(k))


@pytest.mark.parametrize("k", [2, 6, 20])
def test_an_item_of_several_cells_counts_as_often(k: int) -> None:
    sizes = np.random.default_rng(0).integers(1, 6, 60)
    cells = np.repeat(np.arange(60), sizes)
    weighted = cut(size_linkage(SQUARES, sizes, 0), k)[cells]
    assert same(
        weighted, fcluster(linkage(pdist(POINTS[cells], "sqeuclidean"), "average"), k, "maxclust")
    )


def greedy(pairs: np.ndarray, sizes: np.ndarray, exponent: float, k: int) -> np.ndarray:
    """Labels of items (m,) by merges of the two clusters of least cost, each cost from all pairs of cells anew."""
    of_item = np.arange(len(sizes))
    while len(names := np.unique(of_item)) > k:
        costs = {}
        for a in names:
            for b in names[names < a]:
                n, m = sizes[of_item == a], sizes[of_item == b]
                mean = n @ pairs[of_item == a][:, of_item == b] @ m / n.sum() / m.sum()
                costs[a, b] = mean * (n.sum() * m.sum() / (n.sum() + m.sum())) ** exponent
        a, b = min(costs, key=costs.__getitem__)
        of_item[of_item == a] = b
    return of_item


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_linkage_by_brute_force(exponent: float) -> None:
    sizes = np.random.default_rng(1).integers(1, 6, 25)
    merges = size_linkage(SQUARES[:25, :25], sizes, exponent)
    for k in (2, 5, 12):
        assert same(cut(merges, k), greedy(SQUARES[:25, :25], sizes, exponent, k))


def test_exponent_one_makes_clusters_of_like_sizes_as_wards_linkage_does() -> None:
    x = np.vstack([blobs((40, 40))[0], [[14.0, 0.0]]])  # an outlier beyond the first
    apart, alike = (
        cut(size_linkage(cdist(x, x, "sqeuclidean"), np.ones(81), e), 2) for e in (0, 1)
    )
    assert sorted(np.bincount(apart)) == [1, 80]
    assert same(alike, fcluster(linkage(x, "ward"), 2, "maxclust"))
    assert sorted(np.bincount(alike)) == [40, 41]


def test_linkage_leaves_its_arguments_alone() -> None:
    distance, sizes = SQUARES.copy(), np.ones(60)
    size_linkage(distance, sizes, 0.5)
    np.testing.assert_array_equal(distance, SQUARES)
    np.testing.assert_array_equal(sizes, 1)


def test_mean_square_distances_are_means_over_pairs() -> None:
    labels = np.arange(60) % 4
    found, sizes = mean_square_distances(POINTS, labels)
    expected = [[SQUARES[labels == i][:, labels == j].mean() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(sizes, 15)


@pytest.mark.parametrize("exponent", [0.0, 0.5])
@pytest.mark.parametrize(
    ("sizes", "n_micro"), [((300, 40, 8), 60), ((4, 3, 2), 150), ((1, 1), 150)]
)
def test_micro_linkage_finds_blobs_of_uneven_size(
    sizes: tuple[int, ...], n_micro: int, exponent: float
) -> None:
    x, truth = blobs(sizes)
    assert same(micro_linkage(x, len(sizes), n_micro, exponent=exponent, seed=0), truth)


def test_micro_linkage_of_cells_that_are_alike() -> None:
    labels = micro_linkage(np.repeat(np.eye(2), 6, axis=0), 3, 10, exponent=0.5, seed=0)
    assert same(labels, np.repeat([0, 1], 6)), "two clusters of three that were asked for"


# ---- consensus -----------------------------------------------------------------------------------


def found(
    partitions: list[np.ndarray],
    k: int,
    min_cells: int = 1,
    n_micro: int = 1000,
    exponent: float = 0.0,
) -> Consensus:
    return consensus(partitions, k, exponent=exponent, n_micro=n_micro, min_cells=min_cells, seed=0)


def test_consensus_of_equal_partitions_is_that_partition() -> None:
    labels = RNG.integers(4, size=80)
    labels, confidence = found([labels, (labels + 1) % 4, 3 - labels], 4)
    assert same(labels, labels)
    np.testing.assert_allclose(confidence, 1)
    assert (labels.dtype, confidence.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("exponent", [0.0, 0.2])
@pytest.mark.parametrize("n_micro", [1000, 20])
def test_the_names_of_clusters_are_nothing(exponent: float, n_micro: int) -> None:
    truth, partitions = noisy(90)
    one = found(partitions, 3, n_micro=n_micro, exponent=exponent)
    rng = np.random.default_rng(0)
    two = found(
        [rng.permutation(3)[labels] for labels in partitions], 3, n_micro=1000, exponent=exponent
    )
    assert adjusted_rand_score(one.labels, two.labels) > (0.9 if n_micro == 20 else 0.999)
    assert same(two.labels, truth)


def test_confidence_by_hand() -> None:
    """Cell 2 is with cells 0 and 1 in two of three partitions and with 3 to 5 in one."""
    a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    labels, confidence = found([a, a, b], 2)
    assert same(labels, a)
    np.testing.assert_allclose(confidence, [8 / 9, 8 / 9, 7 / 9, 1, 1, 1], rtol=1e-6)


@pytest.mark.parametrize("n_micro", [1000, 10])
def test_confidence_by_brute_force(n_micro: int) -> None:
    _, partitions = noisy(90)
    labels, confidence = found(partitions, 3, n_micro=n_micro)
    together = np.mean([p[:, None] == p for p in partitions], axis=0)
    expected = [together[i, labels == labels[i]].mean() for i in range(90)]
    np.testing.assert_allclose(confidence, expected, rtol=1e-5)
    assert ((confidence > 0) & (confidence <= 1)).all()


@pytest.mark.parametrize("n_micro", [1000, 50])
def test_outvoted_partitions_do_not_count(n_micro: int) -> None:
    truth, partitions = noisy(600)
    assert adjusted_rand_score(truth, found(partitions, 3, n_micro=n_micro).labels) > 0.97


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("min_cells", [1, 8])
def test_k_clusters_are_found_whatever_ties_there_are(k: int, min_cells: int) -> None:
    labels = np.repeat(np.arange(4), 10)  # four equal blocks: every merge above them is a tie
    assert sorted(set(found([labels, labels], k, min_cells).labels)) == list(range(k))


@pytest.mark.parametrize("k", [3, 12, 40])
def test_k_clusters_are_found_among_micro_clusters(k: int) -> None:
    assert len(set(found(noisy(600)[1], k, n_micro=50).labels)) == k


def test_what_no_partition_tells_apart_stays_together() -> None:
    labels = np.repeat(np.arange(4), 10)
    assert same(found([labels, labels], 8).labels, labels)


def test_a_small_type_is_kept_and_outliers_join() -> None:
    """1000 cells: types of 600, 390 and 6, and four outliers that every partition sets apart one by one."""
    labels = np.repeat(np.arange(7), [600, 390, 6, 1, 1, 1, 1])
    near = np.where(labels >= 3, 1, labels)  # one partition puts the outliers to the second type
    assert same(found([labels, labels, near], 3, min_cells=2).labels, near)


@pytest.mark.parametrize("min_cells", [2, 5, 20])
def test_no_cluster_is_smaller_than_asked_where_the_tree_allows_it(min_cells: int) -> None:
    labels, confidence = found(noisy(300)[1], 3, min_cells=min_cells)
    assert np.bincount(labels).min() >= min_cells
    assert len(labels) == len(confidence) == 300


def test_join_small_by_hand() -> None:
    """The last cell is together with one of the second pair in half of the partitions, with the first pair in .2."""
    together = np.array(
        [
            [1, 1, 0, 0, 0.2],
            [1, 1, 0, 0, 0.2],
            [0, 0, 1, 1, 0.5],
            [0, 0, 1, 1, 0],
            [0.2, 0.2, 0.5, 0, 1],
        ]
    )
    labels = np.array([0, 0, 1, 1, 2])
    assert same(join_small(together, np.ones(5), labels, 2), np.array([0, 0, 1, 1, 1]))
    heavy = np.array(
        [1, 1, 1, 9, 1]
    )  # now the second pair is hardly ever with the last cell: .05 a cell
    assert same(join_small(together, heavy, labels, 2), np.array([0, 0, 1, 1, 0]))


def test_one_hot() -> None:
    np.testing.assert_array_equal(
        one_hot(np.array([0, 2, 2])).toarray(), [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    )
