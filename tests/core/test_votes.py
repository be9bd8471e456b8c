"""Votes of the nearest cells of a fit."""

import numpy as np
from sklearn.metrics import roc_auc_score

import jojoscl
from jojoscl.core.votes import votes


def test_votes_count_as_the_confidence_of_those_who_vote():
    voters, labels = np.array([[0.0], [1], [5]]), np.array([1, 0, 1])
    weights, h = np.array([0.5, 0.9, 0.4], np.float32), np.array([[0.1], [4.9]])
    found = votes(h, voters, labels, weights, 2)
    assert found.labels.tolist() == [0, 0]
    np.testing.assert_allclose(found.confidence, [0.9, 0.9])  # cluster 0 has one vote
    np.testing.assert_allclose(votes(h[1:], voters, labels, weights, 1).confidence, [0.4])


def test_a_small_cluster_is_not_outvoted():
    voters = np.array([0, 0.1, 0.2, *(1 + np.arange(20) / 10)])[:, None]
    found = votes(np.array([[0.1], [1.55]]), voters, np.repeat([0, 1], [3, 20]), np.ones(23), 7)
    assert found.labels.tolist() == [0, 1]
    assert found.confidence.tolist() == [1, 1]


def test_novelty_is_the_place_among_the_cells_of_the_cluster():
    voters = np.array([0.0, 1, 3, 6, 10])[:, None]  # to their nearest: 1, 1, 2, 3, 4
    h = np.array([[0.1], [4.5], [20]])  # .1, 1.5, 10
    found = votes(h, voters, np.zeros(5, int), np.ones(5), 1)
    np.testing.assert_allclose(found.novelty, [0, 2 / 6, 5 / 6])


def test_novelty_tells_a_type_that_the_fit_never_saw(both):
    types = both.obs["cell_type"]
    strange = (types == types.cat.categories[0]).to_numpy()
    fit = ~strange & (np.arange(both.n_obs) % 5 > 0)
    found = jojoscl.JojoSCL(n_draws=1).fit(both[fit].copy(), 2).predict(both[~fit].copy())
    novelty = found.obs["novelty"]
    assert roc_auc_score(strange[~fit], novelty) > 0.9
    assert 0 <= novelty.min() <= novelty.max() < 1
    assert np.mean(novelty[~strange[~fit]] > 0.9) < 0.3  # about a tenth, by its meaning
