"""Consensus, confidence and stability against brute force and cases done by hand."""

import numpy as np
from sklearn.metrics import adjusted_rand_score

from jojoscl.core.consensus import confidence_of, consensus, stability_of


def noisy(n: int, n_partitions: int = 9) -> tuple[np.ndarray, list[np.ndarray]]:
    """Three types (n,), and partitions in which a tenth of the cells are anywhere."""
    truth = np.random.default_rng(3).integers(3, size=n)
    rng = np.random.default_rng(4)
    return truth, [
        np.where(rng.random(n) < 0.1, rng.integers(3, size=n), truth) for _ in range(n_partitions)
    ]


def found(
    partitions: list[np.ndarray],
    k: int,
    min_cells: int = 1,
    n_groups: int = 1000,
    weights: list[float] | None = None,
) -> np.ndarray:
    weights = weights or [1.0] * len(partitions)
    groups, tree = consensus(partitions, weights, n_groups, least=min_cells, seed=0)
    np.testing.assert_array_equal(tree.sizes, np.bincount(groups))
    return tree.cut(k)[groups]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return adjusted_rand_score(a, b) == 1


def test_consensus_of_equal_partitions_is_that_partition():
    labels = np.random.default_rng(0).integers(4, size=80)
    assert same(found([labels, (labels + 1) % 4, 3 - labels], 4), labels)


def test_the_names_of_clusters_do_not_matter():
    truth, partitions = noisy(90)
    rng = np.random.default_rng(0)
    renamed = found([rng.permutation(3)[labels] for labels in partitions], 3, 3)
    assert same(renamed, truth)
    for n_groups, least in ((1000, 0.999), (20, 0.9)):
        assert adjusted_rand_score(found(partitions, 3, 3, n_groups), renamed) > least, n_groups


def test_outvoted_partitions_do_not_count():
    truth, partitions = noisy(600)
    for n_groups in (1000, 50):
        labels = found(partitions, 3, 5, n_groups)
        assert adjusted_rand_score(truth, labels) > 0.97, n_groups


def test_a_partition_of_more_weight_wins():
    a, b = np.repeat([0, 1], 30), np.tile([0, 1], 30)
    for n_groups in (1000, 3):
        assert same(found([a, b], 2, n_groups=n_groups, weights=[1, 0.3]), a), n_groups
        assert same(found([a, b], 2, n_groups=n_groups, weights=[0.3, 1]), b), n_groups


def test_the_tree_goes_on_below_and_above_k():
    """Four types in two pairs: finer and coarser partitions of little weight order the rest."""
    fine = np.repeat(np.arange(4), 10)
    coarse = fine // 2
    groups, tree = consensus([coarse, fine], [0.3, 1], 100, seed=0)
    assert same(tree.cut(2)[groups], coarse)
    assert same(tree.cut(4)[groups], fine)


def test_cells_that_no_partition_separates_stay_together():
    labels = np.repeat(np.arange(4), 10)
    assert same(found([labels, labels], 8), labels)


def test_a_small_type_is_kept_and_outliers_make_no_cluster():
    """1000 cells: types of 600, 390 and 6, and four outliers that every partition sets apart."""
    labels = np.repeat(np.arange(7), [600, 390, 6, 1, 1, 1, 1])
    near = np.where(labels >= 3, 1, labels)  # one partition puts the outliers to the second type
    assert same(found([labels, labels, near], 3, min_cells=2), near)


def test_k_clusters_are_found_among_groups():
    sizes = [len(set(found(noisy(600)[1], k, n_groups=50))) for k in (3, 12, 40)]
    assert sizes == [3, 12, 40]


def test_confidence_by_hand():
    """Cell 2 is with cells 0 and 1 in two of three partitions and with 3 to 5 in one."""
    a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    found = confidence_of([a, a, b], a)
    np.testing.assert_allclose(found, [8 / 9, 8 / 9, 7 / 9, 1, 1, 1], rtol=1e-6)
    assert found.dtype == np.float32


def test_confidence_by_brute_force():
    truth, partitions = noisy(90)
    together = np.mean([p[:, None] == p for p in partitions], axis=0)
    expected = [together[i, truth == truth[i]].mean() for i in range(90)]
    np.testing.assert_allclose(confidence_of(partitions, truth), expected, rtol=1e-5)


def test_stability_by_hand():
    """The second cluster comes back whole in one partition, and as two of three in the other."""
    labels = np.array([0, 0, 0, 1, 1, 1])
    other = np.array([0, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(
        stability_of([labels, other], labels), [(1 + 3 / 4) / 2, (1 + 2 / 3) / 2]
    )


def test_an_arbitrary_split_is_not_stable():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    draws = [np.where(labels < 2, rng.integers(2, size=300), 2) for _ in range(8)]
    first, second, whole = stability_of(draws, labels)
    assert max(first, second) < 0.5 < whole == 1
