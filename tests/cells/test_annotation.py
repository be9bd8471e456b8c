"""Names and annotation of any type become what anndata writes, in memory and in a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from jojoscl.cells.annotation import named, writable
from jojoscl.cells.checks import as_cells
from jojoscl.datasets.load import FileDataset
from jojoscl.utils.errors import UserError

COUNTS = np.random.default_rng(0).poisson(1.0, (6, 4)) + np.eye(6, 4)
NAMES = {
    "categories that repeat": (pd.CategoricalIndex(["a", "b", "a", "c"]), ["a", "b", "a-1", "c"]),
    "missing": (pd.Index(["a", np.nan, "b", None], dtype=object), ["a", "gene1", "b", "gene3"]),
    "missing categories": (
        pd.CategoricalIndex(["a", np.nan, "b", "b"]),
        ["a", "gene1", "b", "b-1"],
    ),
    "numbers": (pd.Index([3, 1, 2, 10]), ["3", "1", "2", "10"]),
    "levels": (
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1), ("b", 2)]),
        ["a_1", "a_2", "b_1", "b_2"],
    ),
    "nullable words": (pd.Index(["a", pd.NA, "b", "c"], dtype="string"), ["a", "gene1", "b", "c"]),
    "mixed": (pd.Index(["a", 1, 2.5, b"c"], dtype=object), ["a", "1", "2.5", "b'c'"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_of_genes(case: str) -> None:
    index, expected = NAMES[case]
    adata = AnnData(COUNTS)
    adata._var = pd.DataFrame(index=index)  # as an assignment to adata.var.index leaves it
    assert list(as_cells(adata).var_names) == expected


def test_names_of_cells_that_are_missing_are_numbered_and_repeated_ones_refused() -> None:
    assert list(named(pd.Index(["x", None, "y"], dtype=object), "cell")) == ["x", "cell1", "y"]
    adata = AnnData(COUNTS)
    adata._obs = pd.DataFrame(index=pd.CategoricalIndex(["a"] * 6))
    with pytest.raises(UserError, match=r"5 cells have the name of another .such as 'a'"):
        as_cells(adata)


COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "truth values": ([True, False] * 3, [True, False] * 3),
    "truth values, some missing": ([True, None, False] * 2, ["True", None, "False"] * 2),
    "nullable truth values": (pd.array([True, None, False] * 2, "boolean"), ["True", None, "False"] * 2),
    "nullable numbers": (pd.array([1, None, 3] * 2, "Int64"), [1.0, np.nan, 3.0] * 2),
    "nullable whole numbers": (pd.array([1, 2, 3] * 2, "Int64"), [1, 2, 3] * 2),
    "nullable words": (pd.array(["a", None, "b"] * 2, "string"), ["a", None, "b"] * 2),
    "words and numbers": (["a", 1, None] * 2, ["a", "1", None] * 2),
    "days": (pd.to_datetime(["2020-01-01", None] * 3), ["2020-01-01 00:00:00", None] * 3),
    "lists": ([[1], [2], [1]] * 2, ["[1]", "[2]", "[1]"] * 2),
    "categories of numbers": (pd.Categorical([1, 2, None] * 2), ["1", "2", None] * 2),
    "categories with one spelling": (pd.Categorical([1, "1", None] * 2), ["1", "1", None] * 2),
    "intervals": (pd.cut(pd.Series([1, 2, 3] * 2), [0, 2, 4]), ["(0, 2]", "(0, 2]", "(2, 4]"] * 2),
    "nothing": ([None] * 6, [None] * 6),
}  # fmt: skip


@pytest.mark.parametrize("case", COLUMNS)
def test_what_was_read_can_be_written(tmp_path: Path, case: str) -> None:
    values, expected = COLUMNS[case]
    adata = AnnData(COUNTS)
    adata.obs["a"] = values if not isinstance(values, pd.Series) else values.to_numpy()
    if isinstance(values, pd.Series):
        adata.obs["a"] = pd.Categorical(values)
    cells = as_cells(adata)
    cells.write_h5ad(tmp_path / "a.h5ad")
    found = ad.read_h5ad(tmp_path / "a.h5ad").obs["a"]
    for one, other in zip(found, expected, strict=True):
        assert one == other or (pd.isna(one) and pd.isna(other))


def test_names_of_columns() -> None:
    table = pd.DataFrame([[1, 2, 3, 4, 5]] * 2, columns=["a/b", "a_b", "_index", 3, "3"])
    assert list(writable(table, "cell")) == ["a_b", "a_b_", "index", "3", "3_"]
    twice = pd.DataFrame([[1, 2]] * 6, columns=["a", "a"], index=list("uvwxyz"))
    assert list(writable(twice, "cell")) == ["a", "a_"]
    with pytest.raises(UserError, match=r"Several columns .* 'a': rename them"):
        as_cells(AnnData(COUNTS, obs=twice), label_key="a")


def test_a_table_with_truth_values_and_missing_cells_ends_in_a_file(tmp_path: Path) -> None:
    table = pd.DataFrame(COUNTS, index=[f"c{i}" for i in range(6)], columns=list("ghij"))
    table.to_csv(tmp_path / "a.csv")
    columns = {"doublet": [True, False, True, False], "n": [1, 2, 3, 4], "day": list("abca")}
    notes = pd.DataFrame(columns, index=table.index[:4])
    notes.to_csv(tmp_path / "m.csv")
    cells = FileDataset(path=tmp_path / "a.csv", metadata=tmp_path / "m.csv").load()
    cells.write_h5ad(tmp_path / "a.h5ad")
    obs = ad.read_h5ad(tmp_path / "a.h5ad").obs
    assert obs["doublet"].astype(object).tolist()[:4] == ["True", "False", "True", "False"]
    assert obs.isna().sum().to_dict() == {"doublet": 2, "n": 2, "day": 2}
