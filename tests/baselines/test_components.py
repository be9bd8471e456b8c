"""Principal components, which several methods cluster."""

from types import SimpleNamespace

import numpy as np

from jojoscl.baselines.controls import PCAKMeans


def test_principal_components_equal_the_svd():
    x = np.random.default_rng(0).standard_normal((30, 12)).astype(np.float32)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    cells = SimpleNamespace(zscores=lambda: x)
    found = np.abs(PCAKMeans(n_pcs=4).components(cells, seed=0))
    np.testing.assert_allclose(found, np.abs(u[:, :4] * s[:4]), atol=1e-4)
    assert PCAKMeans(n_pcs=50).components(cells, seed=0).shape == (30, 11)
