"""Datasets by name and by file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from jojoscl.datasets.load import CatalogDataset, FileDataset, load_dataset
from jojoscl.utils.errors import UserError


def test_a_set_of_the_catalogue_comes_with_its_types() -> None:
    adata = load_dataset("pbmc68k_reduced")
    assert adata.shape == (700, 765)
    assert adata.obs["cell_type"].nunique() == 10
    assert list(adata.obs) == ["cell_type"]


def test_a_wrong_name_is_reported_at_once_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"blader.*bladder"):
        CatalogDataset(name="blader")


def test_a_file_is_read_with_its_types_only_if_asked(cells: AnnData, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "mine.h5ad")
    with_types = FileDataset(path=tmp_path / "mine.h5ad", label_key="cell_type").load()
    assert (with_types.obs["cell_type"].astype(str) == cells.obs["cell_type"].astype(str)).all()
    without = FileDataset(path=tmp_path / "mine.h5ad").load()
    assert "cell_type" not in without.obs
    np.testing.assert_array_equal(without.X.toarray(), cells.X.toarray())


def test_a_file_must_be_given() -> None:
    with pytest.raises(UserError, match=r"data\.path"):
        FileDataset().load()
