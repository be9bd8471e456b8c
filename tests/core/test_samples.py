"""What differs between samples is taken away, what differs between types stays."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from jojoscl.core.samples import without_samples
from jojoscl.utils.errors import UserError


@pytest.fixture
def shifted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells (300, 10) of three types in two samples, one of which is shifted."""
    rng = np.random.default_rng(0)
    types, samples = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    centers, shift = 10 * rng.standard_normal((3, 10)), 5 * rng.standard_normal(10)
    x = centers[types] + samples[:, None] * shift + rng.standard_normal((300, 10))
    return x.astype(np.float32), types, samples


def test_samples_mix_and_types_stay_apart(shifted: tuple[np.ndarray, ...]) -> None:
    pytest.importorskip("harmonypy")
    x, types, samples = shifted
    found = without_samples(x, samples, seed=3)
    assert found.shape == x.shape
    assert found.dtype == np.float32
    assert silhouette_score(found, types) > silhouette_score(x, types) + 0.05
    within = [
        silhouette_score(h[types == k], samples[types == k]) for h in (x, found) for k in range(3)
    ]
    assert min(within[:3]) > 0.5
    assert max(within[3:]) < 0.1
    np.testing.assert_array_equal(found, without_samples(x, samples, seed=3))


def test_without_harmonypy_the_way_to_it_is_told(
    shifted: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(UserError, match=r"need harmonypy: pip install 'jojoscl\[batch\]'"):
        without_samples(shifted[0], shifted[2], seed=0)
