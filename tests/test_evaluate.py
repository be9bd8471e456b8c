from __future__ import annotations

import itertools

import numpy as np
import pytest

from jojoscl.evaluate import accuracy, cosine_gap, scores


def test_scores_of_a_renamed_truth_are_one() -> None:
    truth = np.array(["a", "b", "b", "c", "c", "c"])
    assert scores(truth, np.array([2, 0, 0, 1, 1, 1])) == pytest.approx({"ari": 1, "nmi": 1, "acc": 1})


def test_one_cluster_scores_nothing() -> None:
    out = scores(np.array(["a", "b", "b", "c"]), np.zeros(4, dtype=int))
    assert out["ari"] == pytest.approx(0)
    assert out["nmi"] == pytest.approx(0)
    assert out["acc"] == pytest.approx(0.5)


@pytest.mark.parametrize("n_labels", [3, 4])
def test_accuracy_is_the_best_over_all_matchings(n_labels: int) -> None:
    rng = np.random.default_rng(0)
    truth, labels = rng.integers(0, 3, 40), rng.integers(0, n_labels, 40)
    best = max(
        np.mean(np.array(names)[labels] == truth)
        for names in itertools.permutations([0, 1, 2, -1][:n_labels], n_labels)
    )
    assert accuracy(truth, labels) == pytest.approx(best)


def test_cosine_gap_against_all_pairs() -> None:
    rng = np.random.default_rng(1)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 12, 5)))
    cosines = a @ b.T
    apart = cosines[~np.eye(12, dtype=bool)].mean()
    assert cosine_gap(a, b) == pytest.approx(np.diag(cosines).mean() - apart)
