"""Damaged files of each format: a sentence or cells, never a crash. Seeded, so that a failure repeats."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.data import FileDataset, Preprocess
from jojoscl.data.io.matrix import row_chunks, stack_rows
from jojoscl.utils.errors import UserError

COUNTS = np.random.default_rng(0).poisson(1.0, (30, 20)) + np.eye(30, 20)


def sparse_h5ad(path: Path) -> None:
    AnnData(sp.csr_matrix(COUNTS, dtype=np.float32)).write_h5ad(path)


def dense_h5ad(path: Path) -> None:
    AnnData(COUNTS).write_h5ad(path, compression="gzip")


def dense_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=COUNTS, compression="gzip")
        file["Y"] = np.arange(30) % 3


def sparse_h5(path: Path) -> None:
    x = sp.csr_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        for name in ("data", "indices", "indptr", "shape"):
            file[f"exprs/{name}"] = getattr(x, name)
        file["obs_names"], file["var_names"] = (np.array([f"n{i}" for i in range(n)], "S") for n in x.shape)


def stretches(path: Path) -> list[tuple[int, int]]:
    """Where in the file the values of each array lie. What lies between is HDF5's own, and its own to guard."""
    found: list[tuple[int, int]] = []

    def note(_: str, node: h5py.Dataset | h5py.Group) -> None:
        if not isinstance(node, h5py.Dataset) or node.dtype.hasobject:
            return
        if node.chunks:
            chunks = (node.id.get_chunk_info(i) for i in range(node.id.get_num_chunks()))
            found.extend((chunk.byte_offset, chunk.size) for chunk in chunks)
        elif node.id.get_offset() is not None:
            found.append((node.id.get_offset(), node.id.get_storage_size()))

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def damaged(content: bytes, places: list[tuple[int, int]], rng: np.random.Generator) -> bytes:
    """A few bytes of the arrays changed, a stretch of zeros, or the end cut off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 10)):
        start, size = places[rng.integers(len(places))]
        changed[start + rng.integers(size)] = rng.integers(256)
    if rng.random() < 0.2:
        changed[start : start + size // 2] = bytes(size // 2)
    return bytes(changed[: rng.integers(len(content))] if rng.random() < 0.1 else changed)


def indices_changed(path: Path, rng: np.random.Generator) -> None:
    """Random numbers, small and huge, in the arrays of a sparse matrix."""
    with h5py.File(path, "r+") as file:
        group = file["X" if "X" in file else "exprs"]
        part = group[rng.choice(["indices", "indptr"])]
        values = part[()]
        places = rng.integers(0, len(values), 3)
        values[places] += rng.choice([-(2**31), -1, 1, 3, 1000, 2**31 - 1], 3).astype(values.dtype)
        part[...] = values


def outcome(path: Path, backed: bool) -> str:
    try:
        cells = FileDataset(path=path, backed=backed, kind="counts").load()
        Preprocess(n_top_genes=None)(AnnData(stack_rows(row_chunks(cells.X)), uns=dict(cells.uns)))
    except UserError as error:
        return "refused" if "\n" not in str(error) else "too many lines"
    return "read"


FORMATS: dict[str, tuple[Callable[[Path], None], str, bool]] = {
    "h5ad": (sparse_h5ad, "a.h5ad", False),
    "dense h5ad": (dense_h5ad, "a.h5ad", False),
    "h5": (dense_h5, "a.h5", False),
    "sparse h5": (sparse_h5, "a.h5", False),
    "backed": (sparse_h5ad, "a.h5ad", True),
    "dense backed": (dense_h5ad, "a.h5ad", True),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes(tmp_path: Path, name: str) -> None:
    write, file, backed = FORMATS[name]
    write(tmp_path / file)
    good, places = (tmp_path / file).read_bytes(), stretches(tmp_path / file)
    rng, found = np.random.default_rng(0), []
    for i in range(50):
        path = tmp_path / f"{i}-{file}"
        path.write_bytes(damaged(good, places, rng))
        found.append(outcome(path, backed))
        with contextlib.suppress(OSError):
            path.unlink()
    assert "refused" in found
    assert set(found) <= {"read", "refused"}


@pytest.mark.parametrize("name", ["h5ad", "sparse h5", "backed"])
def test_damaged_indices(tmp_path: Path, name: str) -> None:
    write, file, backed = FORMATS[name]
    rng = np.random.default_rng(1)
    found = []
    for i in range(50):
        path = tmp_path / f"{i}-{file}"
        write(path)
        indices_changed(path, rng)
        found.append(outcome(path, backed))
    assert found.count("refused") > 30
    assert set(found) <= {"read", "refused"}
