"""Agreement of clusterings."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import jojoscl
from tests.small import assert_refused


def test_each_two_columns_are_compared_over_the_cells_that_have_both(adata):
    adata.obs["some"] = adata.obs["cell_type"].where(np.arange(120) % 4 > 0)
    table = jojoscl.compare(adata, ["jojoscl", "cell_type", "some"])
    assert table[["one", "other"]].to_numpy().tolist() == [
        ["jojoscl", "cell_type"], ["jojoscl", "some"], ["cell_type", "some"],
    ]  # fmt: skip
    assert table["n_cells"].tolist() == [120, 90, 90]
    assert table[["ari", "nmi"]].iloc[2].tolist() == pytest.approx([1, 1])
    both = adata.obs["jojoscl"], adata.obs["cell_type"]
    assert table["ari"][0] == adjusted_rand_score(*both)
    assert table["nmi"][0] == normalized_mutual_info_score(*both)


def test_wrong_columns_are_refused(adata):
    adata.obs["none"] = np.nan
    assert_refused(
        lambda keys: jojoscl.compare(adata, keys),
        ("jojoscl", "keys must be two columns of obs or more"),
        (["jojoscl"], "keys must be two columns"),
        (["jojoscl", "cell_typ"], "no column 'cell_typ' in .* annotation .there are: cell_type"),
        (["jojoscl", "none"], "No cell has a value in both"),
    )
