"""What Leiden, Seurat and K-means share: components, and a resolution for K."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from anndata import AnnData

from jojoscl.baselines.components import OnGraph, principal_components
from jojoscl.baselines.graph import ClusterAt
from jojoscl.cells.checks import without_labels
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError


@dataclass(kw_only=True)
class Bands(OnGraph, name="bands", n_pcs=3):
    """As many clusters of equal size as the resolution says, along the first component."""

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        rank = x[:, 0].argsort().argsort()
        return lambda resolution: (rank * max(1, round(resolution)) // len(x)).astype(np.int64)


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return without_labels(simulate(n_cells=60, n_genes=80, n_types=3, seed=1))


def test_without_k_the_resolution_decides(cells: AnnData) -> None:
    method = Bands(resolution=4.0)
    assert method.finds_k
    found = method.fit_predict(cells, None)
    assert np.bincount(found.labels).tolist() == [15, 15, 15, 15]
    assert found.info == {"resolution": 4.0}
    assert found.embedding.shape == (60, 3)
    assert list(found.seconds) == ["preprocess", "train", "assign", "other"]


def test_with_k_the_resolution_is_searched(cells: AnnData) -> None:
    method = Bands(match_k=True)
    assert not method.finds_k
    found = method.fit_predict(cells, 5)
    assert np.bincount(found.labels).tolist() == [12, 12, 12, 12, 12]
    assert round(found.info["resolution"]) == 5
    with pytest.raises(UserError, match="The number of clusters is not known"):
        method.fit_predict(cells, None)


def test_principal_components_equal_the_svd() -> None:
    x = np.random.default_rng(0).standard_normal((30, 12)).astype(np.float32)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    found = np.abs(principal_components(x, 4, seed=0))
    np.testing.assert_allclose(found, np.abs(u[:, :4] * s[:4]), atol=1e-4)
    assert principal_components(x, 50, seed=0).shape == (30, 11)
