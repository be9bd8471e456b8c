"""Seurat by its own preprocessing (see test_leiden.py for what it shares with Leiden)."""

from __future__ import annotations

from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.seurat import Seurat


def test_seurat_v3_genes_and_louvain_find_the_types(cells: AnnData) -> None:
    result = Seurat(preprocess={"n_top_genes": 100}).fit_predict(cells, None, seed=0)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9
