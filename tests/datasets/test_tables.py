"""Tables of text: separators, turned tables, annotation, several files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from jojoscl.datasets.tables import read_table
from jojoscl.utils.errors import UserError

ROWS = [["", "g1", "g2", "kind"], ["a", "1", "0", "x"], ["b", "2", "3", "y"]]


def written(path: Path, separator: str, rows: list[list[str]] = ROWS) -> Path:
    text = "\n".join(separator.join(row) for row in rows) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "separator"), [("x.csv", ","), ("x.tsv", "\t"), ("x.csv.gz", ",")]
)
def test_numbers_and_words_are_told_apart(tmp_path: Path, name: str, separator: str) -> None:
    adata = read_table(written(tmp_path / name, separator))
    assert adata.X.toarray().tolist() == [[1, 0], [2, 3]]
    assert list(adata.obs_names) == ["a", "b"]
    assert list(adata.var_names) == ["g1", "g2"]
    assert list(adata.obs["kind"]) == ["x", "y"]


def test_genes_by_cells_are_turned(tmp_path: Path) -> None:
    adata = read_table(
        written(tmp_path / "x.csv", ",", [["", "a", "b"], ["g1", "1", "2"]]), transpose=True
    )
    assert adata.shape == (2, 1)
    assert adata.X.toarray().ravel().tolist() == [1, 2]


def test_tables_of_other_genes_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "x.csv", ",", [["", "g1"], ["a", "1"]])
    two = written(tmp_path / "y.csv", ",", [["", "g2"], ["b", "1"]])
    with pytest.raises(UserError, match="other columns"):
        read_table(one, two)
    assert read_table(one, one).n_obs == 2


def test_metadata_with_a_header_of_r(tmp_path: Path) -> None:
    """R leaves out the name of the column of row names."""
    cells = written(tmp_path / "x.csv", ",", [["a", "b"], ["g1", "1", "2"]])
    notes = written(
        tmp_path / "y.csv", ",", [["share", "kind"], ["b", "0.5", "u"], ["a", "1", "v"]]
    )
    adata = read_table(cells, metadata=notes, transpose=True)
    assert adata.obs["share"].tolist() == [1, 0.5]
    assert adata.obs["kind"].tolist() == ["v", "u"]
    assert list(adata.obs) == ["share", "kind"]
