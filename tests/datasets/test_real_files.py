"""The public files themselves, where they are at hand: set JOJOSCL_DATA_ROOT to their folder."""

import os

import numpy as np
import pytest

from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.download import data_root
from jojoscl.datasets.load import CATALOG, find, load_dataset

ROOT = os.environ.get("JOJOSCL_DATA_ROOT")
SETS = [
    (name, variant)
    for name, about in CATALOG.items()
    for variant in about["variants"]
    if find(name, variant)["files"]
]
pytestmark = [pytest.mark.real, pytest.mark.skipif(not ROOT, reason="JOJOSCL_DATA_ROOT is not set")]


@pytest.mark.parametrize(("name", "variant"), SETS)
def test_public_files_are_as_the_catalogue_says(name, variant):
    found = find(name, variant)
    if not all((data_root() / file["name"]).exists() for file in found["files"]):
        pytest.skip(f"the files of {name} are not in {ROOT}")
    adata = load_dataset(name, variant=variant)
    assert adata.shape == (found["n_cells"], found["n_genes"])
    assert len(adata.obs["cell_type"].cat.categories) == found["n_types"]
    assert adata.uns["kind"] == found.get("kind", "counts")
    assert not set(adata.var_names) & {"no_feature", "ambiguous", "alignment_not_unique"}
    if name == "human_brain":
        assert adata.obs["cell_type"].value_counts()["neurons"] == 131
    z = Preprocess()(adata).zscores()
    usable = int(((adata.X > 0).sum(axis=0) >= Preprocess().min_cells).sum())
    assert z.shape == (found["n_cells"], min(2000, usable))
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(z.std(axis=0, ddof=1), 1, rtol=1e-3)
