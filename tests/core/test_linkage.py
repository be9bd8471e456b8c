"""Linkage and its cuts against scipy, brute force and cases done by hand."""

from itertools import product

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import adjusted_rand_score

from jojoscl.core.linkage import Tree, mean_square_distances, one_hot, size_linkage, small_clusters

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


def test_exponent_zero_is_average_linkage():
    tree, theirs = (
        size_linkage(SQUARES, np.ones(60), 0),
        linkage(pdist(POINTS, "sqeuclidean"), "average"),
    )
    for k in (1, 2, 5, 17, 60):
        ours = tree.cut(k)
        assert same(ours, fcluster(theirs, k, "maxclust")), k
        assert sorted(set(ours)) == list(range(k))


def test_an_item_of_several_cells_counts_as_often():
    sizes = np.random.default_rng(0).integers(1, 6, 60)
    cells = np.repeat(np.arange(60), sizes)
    theirs = linkage(pdist(POINTS[cells], "sqeuclidean"), "average")
    for k in (2, 6, 20):
        weighted = size_linkage(SQUARES, sizes, 0).cut(k)[cells]
        assert same(weighted, fcluster(theirs, k, "maxclust")), k


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


def test_linkage_by_brute_force():
    sizes = np.random.default_rng(1).integers(1, 6, 25)
    for exponent in (0.2, 0.5, 1.0):
        tree = size_linkage(SQUARES[:25, :25], sizes, exponent)
        for k in (2, 5, 12):
            expected = greedy(SQUARES[:25, :25], sizes, exponent, k)
            assert same(tree.cut(k), expected), (exponent, k)


def test_exponent_one_makes_clusters_of_like_sizes_as_wards_linkage_does():
    x = np.vstack([blobs((40, 40))[0], [[14.0, 0.0]]])  # an outlier beyond the first
    apart, alike = (size_linkage(cdist(x, x, "sqeuclidean"), np.ones(81), e).cut(2) for e in (0, 1))
    assert sorted(np.bincount(apart)) == [1, 80]
    assert same(alike, fcluster(linkage(x, "ward"), 2, "maxclust"))
    assert sorted(np.bincount(alike)) == [40, 41]


def test_linkage_leaves_its_arguments_alone():
    distance, sizes = SQUARES.copy(), np.ones(60)
    size_linkage(distance, sizes, 0.5)
    np.testing.assert_array_equal(distance, SQUARES)
    np.testing.assert_array_equal(sizes, 1)


def test_mean_square_distances_are_means_over_pairs():
    labels = np.arange(60) % 4
    found = mean_square_distances(POINTS, labels)
    expected = [[SQUARES[labels == i][:, labels == j].mean() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(found, expected)


def test_linkage_of_small_clusters_finds_blobs_of_uneven_size():
    for sizes, exponent in product([(300, 40, 8), (4, 3, 2), (1, 1)], [0.0, 0.5]):
        x, truth = blobs(sizes)
        small, distance = small_clusters(x, min(60, len(x)), seed=0)
        labels = size_linkage(distance, np.bincount(small), exponent).cut(len(sizes))[small]
        assert same(labels, truth), (sizes, exponent)


def test_cells_that_are_alike_make_fewer_small_clusters():
    small, distance = small_clusters(np.repeat(np.eye(2), 6, axis=0), 3, seed=1)
    assert same(small, np.repeat([0, 1], 6))
    np.testing.assert_allclose(distance, [[0, 2], [2, 0]], atol=1e-12)


# ---- the cut of a tree ---------------------------------------------------------------------------

# Groups of 5, 4, 1, 6 and 6 cells: 2 joins 1, then 0; 3 and 4 join; last both sides.
BY_HAND = Tree(np.array([[1, 2], [0, 1], [3, 4], [0, 3]]), np.array([5, 4, 1, 6, 6]))


def test_a_cut_by_hand():
    def cut(k, least):
        return "".join(map(str, BY_HAND._replace(least=least).cut(k)))

    assert [cut(k, 1) for k in range(1, 6)] == ["00000", "00011", "00012", "01123", "01234"]
    assert cut(9, 1) == "01234"  # more than there are
    assert [cut(4, 2), cut(3, 6)] == ["01123", "00012"]
    assert cut(4, 6) == "01123"  # no more large ones: the others follow


def test_few_outliers_use_up_no_cluster():
    """An outlier that leaves first makes a cluster only after all others have been made."""
    tree = Tree(np.array([[0, 1], [2, 3], [0, 2], [0, 4]]), np.array([50, 40, 30, 20, 1]))
    assert tree.cut(2).tolist() == [0, 0, 0, 0, 1]
    tree = tree._replace(least=3)
    assert tree.cut(2).tolist() == [0, 0, 1, 1, 0]
    assert tree.cut(5).tolist() == [0, 1, 2, 3, 4]


def test_cuts_are_nested():
    sizes = np.random.default_rng(2).integers(1, 6, 60)
    for min_cells in (1, 4):
        tree = size_linkage(SQUARES, sizes, 0.2, min_cells)
        for k in range(1, 60):
            coarse, fine = tree.cut(k), tree.cut(k + 1)
            assert len(set(coarse)) == k
            assert len(set(zip(coarse, fine, strict=True))) == k + 1


def test_one_hot():
    np.testing.assert_array_equal(
        one_hot(np.array([0, 2, 2])).toarray(), [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    )
