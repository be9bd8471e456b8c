"""Leiden and Seurat: each finds a number of clusters, or the resolution that gives it."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.leiden import Leiden, PearsonLeiden
from jojoscl.baselines.seurat import Seurat
from jojoscl.cells.preprocess import Preprocess
from tests.small import blobs

PLAIN = Preprocess(hvg_flavor="seurat")


@pytest.mark.parametrize(("kind", "resolution"), [(Leiden, 1.0), (Seurat, 0.8)])
def test_types_are_found_without_and_with_k(
    cells: AnnData, kind: type[Leiden | Seurat], resolution: float
) -> None:
    free, matched = kind(preprocess=PLAIN), kind(preprocess=PLAIN, match_k=True, resolution=3.0)
    assert (free.finds_k, matched.finds_k) == (True, False)
    one, two = free.fit_predict(cells, None, seed=0), matched.fit_predict(cells, 3, seed=0)
    assert one.info["resolution"] == resolution
    assert len(np.unique(two.labels)) == 3
    for result in (one, two):
        assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


@pytest.mark.parametrize("kind", [Leiden, Seurat])
def test_a_finer_resolution_gives_more_clusters(
    cells: AnnData, kind: type[Leiden | Seurat]
) -> None:
    rough, fine = (
        kind(preprocess=PLAIN, resolution=resolution).fit_predict(cells, None)
        for resolution in (0.1, 5.0)
    )
    assert len(np.unique(rough.labels)) < len(np.unique(fine.labels))


def test_leiden_on_pearson_residuals_chooses_its_own_genes(cells: AnnData) -> None:
    method = PearsonLeiden(n_genes=100, n_pcs=10, match_k=True)
    result = method.fit_predict(cells, 3, seed=0)
    assert result.embedding.shape == (120, 10)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_leiden_finds_blobs() -> None:
    x, truth = blobs(), np.repeat(np.arange(5), 30)
    assert adjusted_rand_score(truth, Leiden().communities(x, seed=0)(1.0)) == 1
