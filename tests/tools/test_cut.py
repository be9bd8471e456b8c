"""Other cuts of the tree of clusters: nested, the same at the same number, and refused plainly."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.utils.errors import UserError


@pytest.fixture(scope="module")
def clustered() -> AnnData:
    """300 cells of 5 types, clustered at 4."""
    adata = jojoscl.simulate(n_cells=300, n_genes=400, n_types=5, marker_fraction=0.3, seed=2)
    jojoscl.cluster(adata, 4)
    return adata


def test_the_same_number_gives_the_same_clusters(clustered: AnnData) -> None:
    jojoscl.cut(clustered, 4, key_added="again")
    np.testing.assert_array_equal(
        clustered.obs["again"].astype(str), clustered.obs["jojoscl"].astype(str)
    )


def test_cuts_are_nested_and_near_the_types(clustered: AnnData) -> None:
    for k in (2, 3, 5, 8):
        jojoscl.cut(clustered, k)
        assert clustered.obs[f"jojoscl_{k}"].nunique() == k
    for low, high in ((2, 3), (3, 4), (4, 5), (5, 8)):
        names = ["jojoscl" if k == 4 else f"jojoscl_{k}" for k in (low, high)]
        assert len(clustered.obs[names].drop_duplicates()) == high
    assert adjusted_rand_score(clustered.obs["cell_type"], clustered.obs["jojoscl_5"]) > 0.9


def test_the_tree_survives_a_file_and_a_subset(clustered: AnnData, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("cut") / "x.h5ad"
    clustered.write_h5ad(path)
    read = ad.read_h5ad(path)[::2].copy()
    jojoscl.cut(read, 3)
    jojoscl.cut(clustered, 3)
    assert read.obs["jojoscl_3"].astype(str).equals(clustered.obs["jojoscl_3"].astype(str)[::2])


def test_cells_that_restrict_to_left_out_are_in_no_cluster(cells: AnnData) -> None:
    adata = cells.copy()
    jojoscl.cluster(adata, 2, n_draws=1, restrict_to=("cell_type", ["type1", "type2"]))
    jojoscl.cut(adata, 4, "jojoscl_R")
    found = adata.obs["jojoscl_R_4"]
    assert found.nunique() == 4
    assert found.isna().equals(adata.obs["cell_type"] == "type3")


@pytest.mark.parametrize("k", [0, 1, 2.5, True, "3", 10_000])
def test_a_wrong_number_is_refused(clustered: AnnData, k: object) -> None:
    with pytest.raises(UserError, match="n_clusters must be a whole number from 2 to"):
        jojoscl.cut(clustered, k)  # type: ignore[arg-type]


def test_without_a_tree_the_sentence_says_what_to_call() -> None:
    with pytest.raises(UserError, match=r"call jojoscl\.cluster first"):
        jojoscl.cut(AnnData(np.ones((4, 3))), 2)
    with pytest.raises(UserError, match="must be an AnnData"):
        jojoscl.cut(pd.DataFrame(), 2)  # type: ignore[arg-type]
