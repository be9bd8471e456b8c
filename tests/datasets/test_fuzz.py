"""Damaged files of each format: a sentence or cells, never a crash. Seeded, so that a failure repeats."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jojoscl.cells.matrix import row_chunks, stack_rows
from jojoscl.datasets.load import FileDataset
from jojoscl.utils.errors import UserError
from tests.hostile import damaged, dense_h5, indices_changed, sparse_h5, sparse_h5ad, stretches


def outcome(path: Path, backed: bool) -> str:
    try:
        cells = FileDataset(path=path, backed=backed, kind="counts").load()
        stack_rows(row_chunks(cells.X))
    except UserError as error:
        return "refused" if "\n" not in str(error) else "too many lines"
    return "read"


FORMATS: dict[str, tuple[Callable[[Path], None], str, bool]] = {
    "h5ad": (sparse_h5ad, "a.h5ad", False),
    "h5": (dense_h5, "a.h5", False),
    "sparse h5": (sparse_h5, "a.h5", False),
    "backed": (sparse_h5ad, "a.h5ad", True),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes(tmp_path, name):
    write, file, backed = FORMATS[name]
    write(tmp_path / file)
    good, places = (tmp_path / file).read_bytes(), stretches(tmp_path / file)
    rng, found = np.random.default_rng(0), []
    for i in range(30):
        path = tmp_path / f"{i}-{file}"
        path.write_bytes(damaged(good, places, rng))
        found.append(outcome(path, backed))
        with contextlib.suppress(OSError):
            path.unlink()
    assert "refused" in found
    assert set(found) <= {"read", "refused"}


@pytest.mark.parametrize("name", ["h5ad", "sparse h5", "backed"])
def test_damaged_indices(tmp_path, name):
    write, file, backed = FORMATS[name]
    rng = np.random.default_rng(1)
    found = []
    for i in range(30):
        path = tmp_path / f"{i}-{file}"
        write(path)
        indices_changed(path, rng)
        found.append(outcome(path, backed))
    assert found.count("refused") > 18
    assert set(found) <= {"read", "refused"}
