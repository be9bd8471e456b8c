"""Names of any type become text."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from jojoscl.cells.annotation import names_of
from jojoscl.cells.checks import as_cells

NAMES = {
    "missing": (pd.Index(["a", np.nan, "b", None], dtype=object), ["a", "gene1", "b", "gene3"]),
    "missing categories": (pd.CategoricalIndex(["a", np.nan, "b", "b"]), ["a", "gene1", "b", "b"]),
    "numbers": (pd.Index([3, 1, 2, 10]), ["3", "1", "2", "10"]),
    "levels": (
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1), ("b", 2)]),
        ["a_1", "a_2", "b_1", "b_2"],
    ),
    "nullable words": (pd.Index(["a", pd.NA, "b", "c"], dtype="string"), ["a", "gene1", "b", "c"]),
    "mixed": (pd.Index(["a", 1, 2.5, b"c"], dtype=object), ["a", "1", "2.5", "b'c'"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_are_text(case: str) -> None:
    index, expected = NAMES[case]
    assert list(names_of(index, "gene")) == expected


def test_annotation_of_any_kind_is_no_obstacle(tmp_path: Path) -> None:
    adata = AnnData(np.random.default_rng(0).poisson(1.0, (6, 4)) + np.eye(6, 4))
    adata.obs["a/b"] = [object() for _ in range(6)]
    adata.obs["group"] = pd.Categorical([1.0, 2.0] * 3)
    adata.obs.index = pd.Index(range(6)).astype(str)
    cells = as_cells(adata, label_key="group")
    cells.write_h5ad(tmp_path / "x.h5ad")
    assert ad.read_h5ad(tmp_path / "x.h5ad").obs["cell_type"].tolist() == ["1", "2"] * 3
