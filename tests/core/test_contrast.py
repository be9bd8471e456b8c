"""The closed-form contrast against loops, Fisher's discriminant and the risk that its shrinkage minimises."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from jojoscl.core.contrast import (
    Contrast,
    leading_axes,
    leading_scores,
    linear_contrast,
    no_contrast,
    pair_variance,
    unit_scale,
    weighted,
)

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(200, 6)) @ RNG.normal(size=(6, 6))
Z -= Z.mean(0)
FIRST, SECOND = RNG.integers(200, size=(2, 500))
WEIGHTS = RNG.random(500)
WITHIN = pair_variance(Z, FIRST, SECOND, WEIGHTS)


def test_pair_variance_by_a_loop():
    total = np.zeros((6, 6))
    for i, j, weight in zip(FIRST, SECOND, WEIGHTS, strict=True):
        total += weight * np.outer(Z[i] - Z[j], Z[i] - Z[j])
    np.testing.assert_allclose(WITHIN, total / (2 * WEIGHTS.sum()))


def test_the_variance_over_all_pairs_is_that_of_all_cells():
    i, j = (index.ravel() for index in np.indices((200, 200)))
    np.testing.assert_allclose(pair_variance(Z, i, j, np.ones(len(i))), Z.T @ Z / 200, atol=1e-10)


def test_the_variance_over_no_pairs_is_zero():
    nobody = np.zeros(0, int)
    np.testing.assert_array_equal(pair_variance(Z, nobody, nobody, np.zeros(0)), np.zeros((6, 6)))


def test_axes_solve_the_eigenproblem():
    total = Z.T @ Z / len(Z)
    for n in (6, 3):
        found = linear_contrast(Z, WITHIN, n_dims=n, ridge=0)
        np.testing.assert_allclose(found.axes.T @ WITHIN @ found.axes, np.eye(n), atol=1e-8)
        ratio = np.diag(found.ratio)
        np.testing.assert_allclose(found.axes.T @ total @ found.axes, ratio, atol=1e-8)
        assert found.ratio.tolist() == sorted(found.ratio, reverse=True)
        largest = found.axes[np.abs(found.axes).argmax(0), np.arange(n)]
        assert (largest > 0).all(), "a sign that is always the same"


def test_no_linear_encoder_spreads_cells_more_for_the_same_variance_between_positives():
    best = linear_contrast(Z, WITHIN, n_dims=1, ridge=0).ratio[0]
    u = RNG.normal(size=(6, 1000))
    assert ((u * (Z.T @ Z / 200 @ u)).sum(0) / (u * (WITHIN @ u)).sum(0)).max() <= best


def test_pairs_of_one_class_give_fishers_discriminant():
    labels = np.arange(200) % 3
    z = Z + 3 * np.eye(3, 6)[labels]
    z -= z.mean(0)
    i, j = np.nonzero(labels[:, None] == labels)
    n = np.bincount(labels)[labels[i]]  # each class counts by its cells
    found = linear_contrast(z, pair_variance(z, i, j, 1 / n), n_dims=2, ridge=0)
    fisher = LinearDiscriminantAnalysis(solver="eigen").fit(z, labels)
    for ours, theirs in zip(found.axes.T, fisher.scalings_.T, strict=False):
        cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
        assert abs(cosine) == pytest.approx(1, abs=1e-6)
    # lambda = (between + within) / within: the share of the variance that is between is 1 - 1 /
    # lambda
    share = (found.ratio - 1) / (found.ratio - 1).sum()
    np.testing.assert_allclose(share, fisher.explained_variance_ratio_[:2], rtol=1e-6)


def test_the_ridge_adds_to_each_direction_a_share_of_the_mean_variance():
    ridged = WITHIN + 0.3 * np.trace(WITHIN) / 6 * np.eye(6)
    ours, expected = (
        linear_contrast(Z, w, n_dims=6, ridge=r) for w, r in ((WITHIN, 0.3), (ridged, 0))
    )
    np.testing.assert_allclose(ours.axes, expected.axes)
    np.testing.assert_allclose(ours.ratio, expected.ratio)
    assert ours.ratio[0] < linear_contrast(Z, WITHIN, n_dims=6, ridge=0).ratio[0]


def test_positives_that_agree_wholly_are_finite():
    for within in (np.zeros((6, 6)), WITHIN * 1e-30):
        found = linear_contrast(Z, within, n_dims=6, ridge=0.1)
        assert np.isfinite(found.axes).all()
        np.testing.assert_allclose(found.shrinkage, 1, atol=1e-6)


def test_shrinkage_minimises_form_b_of_the_risk():
    """In the units of an axis the noise is 1, and n cells vary by lambda around their mean."""
    n, ratios, weights = 100_000, [1.5, 4.0, 60.0], []
    for ratio in ratios:
        # (B): b^2 SS + N sigma2 - 2 b sigma2 (N - 1)
        risk = minimize_scalar(lambda b, r=ratio: b**2 * n * r + n - 2 * b * (n - 1), (0, 1))
        weights.append(1 - risk.x)
    np.testing.assert_allclose(Contrast(np.eye(3), np.array(ratios)).shrinkage, weights, atol=1e-4)


def test_components_that_neighbors_do_not_share_go():
    contrast = Contrast(np.eye(3), np.array([4.0, 1.0, 0.2]))
    np.testing.assert_allclose(contrast.shrinkage, [0.75, 0, 0])
    np.testing.assert_allclose(contrast.encoder(), np.diag([0.75, 0, 0]))
    np.testing.assert_array_equal(contrast.encoder(shrink=False), np.eye(3))
    assert contrast.encoder().dtype == np.float32


def test_where_none_would_stay_all_do():
    np.testing.assert_array_equal(Contrast(np.eye(2), np.array([0.9, 0.5])).shrinkage, [1, 1])


def test_no_contrast_takes_the_first_components():
    z = Z.astype(np.float32)
    for n_dims, d in [(3, 3), (9, 6)]:
        found = no_contrast(6, n_dims)
        np.testing.assert_array_equal(z @ found.encoder(), z[:, :d])
        np.testing.assert_array_equal(found.shrinkage, np.ones(d))


# ---- where the encoder starts --------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((30, 12)).astype(np.float32)
V = np.linalg.svd(X - X.mean(0), full_matrices=False)[2]


def test_leading_axes_are_the_right_singular_vectors():
    found = leading_axes(X - X.mean(0), 4, seed=0)
    np.testing.assert_allclose(np.abs(found), np.abs(V[:4].T), atol=1e-4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, leading_axes(X - X.mean(0), 4, seed=0))


def test_there_are_no_more_axes_than_dimensions():
    expected = {(30, 12): 12, (5, 12): 4, (2, 12): 1, (30, 1): 1}
    found = {(n, g): leading_axes(X[:n, :g], 100, seed=0).shape for n, g in expected}
    assert found == {(n, g): (g, d) for (n, g), d in expected.items()}


def test_a_weight_of_two_is_a_row_twice():
    weights = np.repeat([1, 2], [20, 10])
    found = leading_scores(X.copy, weights, 4, seed=0)
    twice = leading_scores(lambda: np.repeat(X, weights, axis=0), None, 4, seed=0)
    expected = twice[np.unique(np.repeat(np.arange(30), weights), return_index=True)[1]]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    assert weighted(X, None) is X


def test_scales():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    assert unit_scale(rows) == pytest.approx(np.sqrt(12.5))
    assert unit_scale(np.zeros((3, 2))) > 0
