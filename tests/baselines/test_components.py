"""What Leiden, Seurat and K-means share: components, and a resolution for K."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from anndata import AnnData

from jojoscl.baselines.components import (
    ClusterAt,
    OnGraph,
    match_resolution,
    principal_components,
)
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


@pytest.mark.parametrize("n_clusters", [2, 3, 5])
@pytest.mark.parametrize("start", [0.01, 0.8, 50.0])
def test_matching_finds_k_where_it_exists(n_clusters: int, start: float) -> None:
    steps = np.array([0.1, 0.3, 0.35, 2.0])  # one more cluster above each

    def cluster_at(resolution: float) -> np.ndarray:
        return np.arange(100) % (1 + int((resolution > steps).sum()))

    labels, resolution = match_resolution(cluster_at, n_clusters, start=start)
    assert len(np.unique(labels)) == n_clusters
    np.testing.assert_array_equal(labels, cluster_at(resolution))


def test_matching_comes_as_near_as_it_can() -> None:
    labels, _ = match_resolution(lambda r: np.arange(12) % (2 if r < 1 else 6), 3, start=0.8)
    assert len(np.unique(labels)) == 2
