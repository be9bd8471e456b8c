"""The call on an AnnData."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

import jojoscl

QUICK = {"preset": "paper", "epochs": 3, "encoder_dims": [16, 8]}


def test_results_are_put_where_scanpy_users_look(cells: AnnData) -> None:
    adata = cells.copy()
    assert jojoscl.cluster(adata, n_clusters=3, key_added="mine", **QUICK) is None
    assert adata.obs["mine"].cat.categories.tolist() == ["0", "1", "2"]
    assert adata.obsm["X_mine"].shape == (adata.n_obs, 8)
    assert '"n_clusters": 3' in adata.uns["mine"]["params"]
    assert (adata.X != cells.X).nnz == 0


def test_copy_leaves_the_original_alone_and_the_seed_decides(cells: AnnData) -> None:
    first, second, other = (jojoscl.cluster(cells, n_clusters=3, copy=True, seed=seed, **QUICK) for seed in (0, 0, 1))
    assert "jojoscl" not in cells.obs
    np.testing.assert_array_equal(first.obsm["X_jojoscl"], second.obsm["X_jojoscl"])
    assert not np.allclose(first.obsm["X_jojoscl"], other.obsm["X_jojoscl"])


def test_annotation_is_not_looked_at(cells: AnnData) -> None:
    shuffled = cells.copy()
    shuffled.obs["cell_type"] = np.random.default_rng(0).permutation(np.asarray(cells.obs["cell_type"].astype(str)))
    results = [jojoscl.cluster(adata, n_clusters=3, copy=True, **QUICK) for adata in (cells, shuffled)]
    assert list(results[0].obs["jojoscl"]) == list(results[1].obs["jojoscl"])


def test_layer_and_settings(cells: AnnData) -> None:
    adata = cells.copy()
    adata.layers["counts"], adata.X = adata.X, -np.ones(adata.shape, np.float32)
    jojoscl.cluster(adata, n_clusters=3, layer="counts", **(QUICK | {"preset": "released"}))
    assert "jojoscl" in adata.obs
    with pytest.raises(jojoscl.UserError, match="negative"):
        jojoscl.cluster(adata, n_clusters=3, **QUICK)


def test_embedded_dataset_needs_no_settings() -> None:
    adata = jojoscl.load_dataset("pbmc68k_reduced")
    jojoscl.cluster(adata, n_clusters=10, n_networks=1, min_steps=0, epochs=2)
    assert adata.obs["jojoscl"].nunique() == 10
    assert adata.obs["jojoscl_confidence"].between(0, 1).all()
