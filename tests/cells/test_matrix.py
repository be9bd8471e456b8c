"""Bands of rows, and parts that fit or do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from jojoscl.cells import matrix
from jojoscl.cells.matrix import canonical, is_backed, row_chunks, stack_rows, to_cells
from jojoscl.utils.errors import UserError


def test_bands_are_stacked_as_float32() -> None:
    x = np.arange(12.0).reshape(4, 3)
    stacked = stack_rows([x[:1], sp.csr_matrix(x[1:3]), x[3:]])
    assert stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked.toarray(), x)
    assert stack_rows([]).shape == (0, 0)


def test_a_matrix_comes_back_from_its_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "BAND_BYTES", 24)
    x = sp.random(20, 5, 0.4, format="csr", random_state=0)
    bands = list(row_chunks(x))
    assert len(bands) > 1
    np.testing.assert_allclose(sp.vstack(bands).toarray(), x.toarray(), rtol=1e-6)


def test_entries_that_stand_twice_are_added() -> None:
    twice = sp.csr_matrix((np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))
    assert canonical(twice).toarray().tolist() == [[0, 3, 0]]
    assert twice.nnz == 2  # what was given stays


def test_what_is_in_memory_is_not_backed() -> None:
    assert not is_backed(np.zeros((2, 2)))
    assert not is_backed(sp.csr_matrix((2, 2)))


def test_annotation_of_another_length_is_one_sentence() -> None:
    x = sp.csr_matrix((3, 2), dtype=np.float32)
    assert list(to_cells(Path("f"), x, {"a": [1, 2, 3]}).obs_names) == ["cell0", "cell1", "cell2"]
    with pytest.raises(UserError, match="looks transposed"):
        to_cells(Path("f"), x, {"a": [1, 2]})
    with pytest.raises(UserError, match="4 entries for 3 rows"):
        to_cells(Path("f"), x, {"a": [1, 2, 3, 4]})
