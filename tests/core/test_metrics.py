import itertools

import numpy as np
import pytest
from sklearn.metrics import f1_score

from jojoscl.core.metrics import accuracy, best_clusters, cosine_gap, macro_f1, scores, silhouette
from jojoscl.runner.sweep import SCORES


def test_scores_of_a_renamed_truth_are_one():
    truth = np.array(["a", "b", "b", "c", "c", "c"])
    assert scores(truth, np.array([2, 0, 0, 1, 1, 1])) == pytest.approx(dict.fromkeys(SCORES, 1))


def test_one_cluster_scores_nothing():
    out = scores(np.array(["a", "b", "b", "c"]), np.zeros(4, dtype=int))
    assert out["ari"] == pytest.approx(0)
    assert out["nmi"] == pytest.approx(0)
    assert out["acc"] == pytest.approx(0.5)
    assert out["f1"] == pytest.approx(2 / 9)  # of b 2 * 2 / (2 + 4); a and c have no cluster


def test_accuracy_is_the_best_over_all_matchings():
    for n in (3, 4):
        rng = np.random.default_rng(0)
        truth, labels = rng.integers(0, 3, 40), rng.integers(0, n, 40)
        matchings = map(np.array, itertools.permutations([0, 1, 2, -1][:n], n))
        best = max(np.mean(names[labels] == truth) for names in matchings)
        assert accuracy(truth, labels) == pytest.approx(best), n


def test_macro_f1_is_the_best_over_all_matchings_of_scikit_learns():
    how = {"average": "macro", "labels": [0, 1, 2], "zero_division": 0}
    for n in (2, 3):
        rng = np.random.default_rng(0)
        truth, labels = rng.integers(0, 3, 40), rng.integers(0, n, 40)
        matchings = map(np.array, itertools.permutations(range(3), n))
        best = max(f1_score(truth, names[labels], **how) for names in matchings)
        assert macro_f1(truth, labels) == pytest.approx(best), n


def test_best_clusters_against_a_loop():
    rng = np.random.default_rng(0)
    truth, labels = (
        rng.choice(list("abcde"), 200, p=[0.6, 0.2, 0.1, 0.07, 0.03]),
        rng.integers(5, 9, 200),
    )
    expected = []
    for kind in "abcde":
        pairs = [(truth == kind, labels == cluster) for cluster in range(5, 9)]
        best = max(range(4), key=lambda i: f1_score(*pairs[i]))
        of_type, of_cluster = pairs[best]
        both = (of_type & of_cluster).sum()
        expected.append([of_type.sum(), both / of_type.sum(), both / of_cluster.sum()])
    np.testing.assert_allclose(best_clusters(truth, labels), expected)


def test_types_in_one_cluster_share_it_and_a_split_type_has_its_largest_part():
    truth = np.array(["a"] * 6 + ["b"] * 2 + ["c"] * 2)
    found = best_clusters(truth, np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2]))
    np.testing.assert_allclose(found, [[6, 4 / 6, 1], [2, 1, 0.5], [2, 1, 0.5]])


def test_cosine_gap_against_all_pairs():
    rng = np.random.default_rng(1)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 12, 5)))
    cosines = a @ b.T
    apart = cosines[~np.eye(12, dtype=bool)].mean()
    assert cosine_gap(a, b) == pytest.approx(np.diag(cosines).mean() - apart)


def test_silhouette_against_its_definition():
    x, labels = np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([0, 0, 1, 1])
    by_hand = [(6 - 1) / 6, (5 - 1) / 5, (4.5 - 2) / 4.5, (6.5 - 2) / 6.5]
    assert silhouette(x, labels) == pytest.approx(np.mean(by_hand))
    assert silhouette(x, np.zeros(4)) is None
    assert silhouette(x, np.arange(4)) is None


def test_silhouette_of_many_cells_is_that_of_a_fixed_sample():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 2000)
    x = rng.normal(size=(2000, 4)) + 3 * np.eye(3, 4)[labels]
    sampled = silhouette(x, labels, max_cells=500)
    assert sampled == silhouette(x, labels, max_cells=500)
    assert sampled == pytest.approx(silhouette(x, labels), abs=0.03)
