"""UMAP coordinates: neighbors stay together, a seed repeats, and of many cells some are drawn and named."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from jojoscl.tools import layout
from jojoscl.tools.layout import umap_coordinates
from tests.small import blobs


def test_neighbors_stay_neighbors_and_a_seed_repeats() -> None:
    x = blobs().astype(np.float32)
    state = random.getstate()
    first, again, other = (umap_coordinates(x, seed) for seed in (0, 0, 1))
    assert random.getstate() == state
    assert first.shape == (len(x), 2)
    assert trustworthiness(x, first, n_neighbors=10) > 0.9
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("x", [np.ones((20, 3)), np.arange(8.0)[:, None], np.eye(4)])
def test_cells_that_are_equal_or_few(x: np.ndarray) -> None:
    assert np.isfinite(umap_coordinates(x.astype(np.float32), 0)).all()


def test_of_many_cells_some_are_drawn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(layout, "MOST_CELLS", 30)
    found = umap_coordinates(np.random.default_rng(0).normal(size=(50, 4)), 0)
    assert np.isfinite(found).all(axis=1).sum() == 30
    assert caplog.messages == ["the UMAP is that of 30 random cells of 50"]
