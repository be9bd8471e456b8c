"""Seurat: finds a number of clusters, or the resolution that gives it."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.seurat import Seurat
from jojoscl.cells.preprocess import Preprocess

PLAIN = Preprocess(hvg_flavor="seurat")


def test_without_k_the_resolution_is_the_default(cells: AnnData) -> None:
    method = Seurat(preprocess=PLAIN)
    assert method.finds_k
    result = method.fit_predict(cells, None, seed=0)
    assert result.info["resolution"] == 0.8
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_with_k_the_resolution_is_searched(cells: AnnData) -> None:
    method = Seurat(preprocess=PLAIN, match_k=True, resolution=3.0)
    assert not method.finds_k
    result = method.fit_predict(cells, 3, seed=0)
    assert len(np.unique(result.labels)) == 3
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_a_finer_resolution_gives_more_clusters(cells: AnnData) -> None:
    counts = [
        len(
            np.unique(
                Seurat(preprocess=PLAIN, resolution=resolution).fit_predict(cells, None).labels
            )
        )
        for resolution in (0.1, 5.0)
    ]
    assert counts[0] < counts[1]
