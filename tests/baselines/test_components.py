"""Principal components, which several methods cluster."""

import numpy as np

from jojoscl.baselines.components import principal_components


def test_principal_components_equal_the_svd():
    x = np.random.default_rng(0).standard_normal((30, 12)).astype(np.float32)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    found = np.abs(principal_components(x, 4, seed=0))
    np.testing.assert_allclose(found, np.abs(u[:, :4] * s[:4]), atol=1e-4)
    assert principal_components(x, 50, seed=0).shape == (30, 11)
