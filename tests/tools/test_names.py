"""Names of clusters by markers of a list."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

import jojoscl
from tests.small import assert_refused


@pytest.fixture
def known(adata: AnnData) -> dict[str, list[str]]:
    """Return the genes that are highest in each type."""
    x = pd.DataFrame(adata.X.toarray(), columns=adata.var_names)
    means = x.div(x.sum(axis=1), axis=0).groupby(adata.obs["cell_type"].to_numpy()).mean()
    return {
        name: list((means.loc[name] - means.drop(name).max()).nlargest(10).index)
        for name in means.index
    }


def test_clusters_get_the_type_whose_markers_they_have(adata, known, tmp_path, caplog):
    scores = jojoscl.name_clusters(adata, known | {"more": ["no_gene"]})
    assert scores.shape == (3, 3)
    found, types = (adata.obs[name].astype(str) for name in ("jojoscl_named", "cell_type"))
    assert (found == types).mean() > 0.95
    assert "1 markers are no genes of these cells: no_gene" in caplog.text
    adata.write_h5ad(tmp_path / "x.h5ad")


def test_a_cluster_without_markers_is_unknown(adata, known):
    first = dict(list(known.items())[:1])
    adata.obs["mine"] = adata.obs["jojoscl"].where(np.arange(120) > 5)
    jojoscl.name_clusters(adata, first, "mine")
    assert adata.obs["mine_named"].value_counts().index.tolist() == ["unknown", *first]
    assert adata.obs["mine_named"].isna().sum() == 6


def test_one_marker_may_be_a_word_and_a_type_a_number(adata):
    named = jojoscl.name_clusters(adata, {1: "gene0", 2: ["gene1", None]})
    assert named.columns.tolist() == ["1", "2"]


def test_bad_lists_are_one_sentence(adata):
    assert_refused(
        lambda given: jojoscl.name_clusters(adata, *given),
        (({"B": ["x"]},), "None of the markers is a gene of these cells .such as 'x'"),
        (({},), "markers must be genes by type"),
        ((["x"],), "markers must be genes by type"),
        (({"B": ["gene0"]}, "leiden"), "There is no adata.obs"),
    )


def test_counts_in_a_file_are_refused_by_one_sentence(adata, tmp_path):
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = read_h5ad(tmp_path / "x.h5ad", backed="r")
    calls = jojoscl.markers, partial(jojoscl.name_clusters, markers={"B": ["gene0"]})
    for call in calls:
        assert_refused(call, (backed, "The matrix stays in its file: give adata.to_memory"))
