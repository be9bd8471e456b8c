"""HDBSCAN on a UMAP: dense regions, and the size of the smallest one that gives K of them."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.density import HDBSCANOnUMAP
from tests.small import blobs


@pytest.mark.slow  # UMAP is compiled for half a minute
def test_blobs_are_found_and_every_cell_has_a_cluster() -> None:
    cluster_at = HDBSCANOnUMAP(n_neighbors=10).communities(blobs(), seed=0)
    labels = cluster_at(1.0)
    assert adjusted_rand_score(np.repeat(np.arange(5), 30), labels) > 0.9
    assert labels.min() == 0
    assert len(np.unique(cluster_at(7.0))) > 5, "smaller clusters are allowed"


def test_without_a_dense_region_all_cells_are_one_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.random.default_rng(0).standard_normal((40, 2))
    graph = AnnData(obsm={"X_umap": plane})
    monkeypatch.setattr("jojoscl.baselines.density.neighbor_graph", lambda *_, **__: graph)
    monkeypatch.setattr("scanpy.tl.umap", lambda *_, **__: None)
    labels = HDBSCANOnUMAP(smallest=30).communities(plane, seed=0)(1.0)
    np.testing.assert_array_equal(labels, np.zeros(40))
