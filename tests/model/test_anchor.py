"""The anchor: its variances against what they must be, its shrinkage, and the geometry it chooses."""

from __future__ import annotations

import numpy as np
import pytest

from jojoscl.model.anchor import Anchor, normalise, pca_anchor, principal_axes, softness, two_view_variances


def test_two_views_recover_signal_and_noise() -> None:
    """x_ig = theta_i + e_ig and loadings of 1 / sqrt(G): a, b = sqrt(G) theta_i + noise of variance 2 (t2 + s2)."""
    rng = np.random.default_rng(0)
    n, genes, t2, s2 = 4000, 400, 0.01, 1.0
    x = rng.normal(0, np.sqrt(t2), (n, 1)) + rng.normal(0, np.sqrt(s2), (n, genes))
    loadings = np.full((genes, 1), genes**-0.5)
    sigma2, tau2 = two_view_variances(x.astype(np.float32), loadings.astype(np.float32), seed=1)
    # Halves share no gene, so the noise of one tells nothing of the other's; each has it doubled.
    assert sigma2[0] == pytest.approx(2 * (s2 + t2), rel=0.03)
    assert tau2[0] == pytest.approx(genes * t2, rel=0.06)
    assert Anchor(loadings, sigma2, tau2).reliability[0] == pytest.approx(4 / 6.02, rel=0.03)


def test_pure_noise_is_shrunk_and_structure_is_kept() -> None:
    rng = np.random.default_rng(0)
    types = rng.normal(size=(3, 200))[rng.integers(3, size=300)]
    x = (types + 0.5 * rng.normal(size=types.shape)).astype(np.float32)
    reliability = pca_anchor(x - x.mean(0), 10, seed=0).reliability
    assert reliability[:2].min() > 0.95  # three types span two directions
    assert reliability[2:].max() < 0.5


def test_shrunk_loadings_give_shrunken_scores() -> None:
    x = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    anchor = pca_anchor(x, 5, seed=0)
    np.testing.assert_allclose(x @ anchor.shrunk_loadings, (x @ anchor.loadings) * anchor.reliability, atol=1e-5)
    np.testing.assert_allclose(anchor.loadings.T @ anchor.loadings, np.eye(5), atol=1e-5)


def test_a_component_without_variance_has_reliability_zero() -> None:
    anchor = Anchor(np.ones((4, 2)), np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    np.testing.assert_array_equal(anchor.reliability, [0.75, 0])


@pytest.mark.parametrize(("shape", "n_dims"), [((2, 30), 1), ((9, 30), 8), ((30, 4), 4), ((60, 50), 40)])
def test_small_sets_have_fewer_components(shape: tuple[int, int], n_dims: int) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    anchor = pca_anchor(x, 40, seed=0)
    assert anchor.loadings.shape == (shape[1], n_dims)
    assert anchor.sigma2.shape == anchor.tau2.shape == (n_dims,)


def test_the_same_seed_gives_the_same_anchor() -> None:
    x = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    for one, two in zip(pca_anchor(x, 5, seed=3), pca_anchor(x, 5, seed=3), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(pca_anchor(x, 5, seed=3).tau2, pca_anchor(x, 5, seed=4).tau2)


def test_the_leading_five_components_choose_the_geometry() -> None:
    assert softness(np.array([0.9, 0.9, 0.9, 0.8, 0.8, 0.0, 0.0]), 0.85) == 1
    assert softness(np.array([0.9, 0.9, 0.8, 0.8, 0.8, 1.0, 1.0]), 0.85) == 0


def test_normalise_by_hand() -> None:
    x = np.array([[3.0, 4.0], [0.0, 12.0], [0.0, 1.0]])
    np.testing.assert_allclose(normalise(x, 0), [[0.6, 0.8], [0, 1], [0, 1]])
    # median length 5: 5 / sqrt(50), 12 / 13, 1 / sqrt(26)
    np.testing.assert_allclose(np.linalg.norm(normalise(x, 1), axis=1), [0.5**0.5, 12 / 13, 26**-0.5])
    assert np.isfinite(normalise(np.zeros((3, 2)), 1)).all()


def test_principal_axes_turn_and_centre_only() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4)) * [1, 5, 2, 3] + 7
    turned = principal_axes(x)
    np.testing.assert_allclose(turned.mean(0), 0, atol=1e-12)
    assert (np.diff(turned.std(0)) < 0).all()
    lengths = np.linalg.norm(x - x.mean(0), axis=1)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), lengths)
