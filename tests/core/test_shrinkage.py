"""The embedding at its posterior means, by the minimiser of SURE."""

import numpy as np

from jojoscl.core.shrinkage import shrink_embedding


def cells() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 20, 1])
    return 3 * labels[:, None] + rng.normal(size=(51, 4)) * [[0.5]], labels


def test_the_weight_minimises_form_b_of_the_risk():
    x, labels = cells()
    _, found = shrink_embedding(x, labels, 0.1)
    for k in (0, 1):
        mine = x[labels == k]
        n, ss = len(mine), np.square(mine - mine.mean(0)).sum()
        b = np.linspace(0, 1, 100_001)
        risk = b**2 * ss + n * 4 * 0.1 * (1 - 2 * b * (1 - 1 / n))  # (B), summed over the cells
        np.testing.assert_allclose(found.b[k], b[risk.argmin()], atol=1e-4)
        np.testing.assert_allclose(found.mean[k], mine.mean(0))
    np.testing.assert_allclose(found.b, 0.1 / (0.1 + found.tau2))


def test_cells_move_toward_their_centroid_by_b():
    x, labels = cells()
    shrunk, found = shrink_embedding(x.astype(np.float32), labels, 0.1)
    assert shrunk.dtype == np.float32
    expected = x - found.b[labels, None] * (x - found.mean[labels])
    np.testing.assert_allclose(shrunk, expected, atol=1e-5)
    np.testing.assert_allclose(shrunk[-1], x[-1], atol=1e-6)  # alone: it is its centroid


def test_bands_of_cells_change_nothing(monkeypatch):
    x, labels = cells()
    whole = shrink_embedding(x, labels, 0.1)
    monkeypatch.setattr("jojoscl.core.shrinkage.BAND", 20)
    banded = shrink_embedding(x, labels, 0.1)
    np.testing.assert_array_equal(banded[0], whole[0])
    np.testing.assert_array_equal(banded[1].tau2, whole[1].tau2)


def test_noise_of_no_or_all_variance():
    x, labels = cells()
    np.testing.assert_allclose(shrink_embedding(x, labels, 0.0)[0], x)
    shrunk, found = shrink_embedding(x, labels, 1e6)
    np.testing.assert_allclose(found.b, 1)
    np.testing.assert_allclose(shrunk, found.mean[labels])
    same = np.ones((5, 2))
    np.testing.assert_allclose(shrink_embedding(same, np.zeros(5, int), 0.0)[0], same)
