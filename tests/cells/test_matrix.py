"""Bands of rows, in memory and from files, and matrices whose indices point outside."""

import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from anndata import AnnData

import jojoscl
from jojoscl.cells import matrix
from jojoscl.cells.checks import as_cells
from jojoscl.cells.matrix import canonical, checked, is_backed, row_chunks, stack_rows
from jojoscl.datasets.load import FileDataset
from jojoscl.datasets.readers import read_file
from jojoscl.utils.errors import UserError


def test_bands_are_stacked_as_float32():
    x = np.arange(12.0).reshape(4, 3)
    stacked = stack_rows([x[:1], sp.csr_matrix((0, 3)), sp.csr_matrix(x[1:3]), x[3:]])
    assert (stacked.dtype, stacked.indices.dtype) == (np.float32, np.int32)
    assert stacked.has_sorted_indices
    np.testing.assert_array_equal(stacked.toarray(), x)
    assert stack_rows([]).shape == (0, 0)


def test_a_matrix_comes_back_from_its_bands(monkeypatch):
    monkeypatch.setattr(matrix, "BAND_BYTES", 24 * 32)
    x = sp.random(20, 5, 0.4, format="csr", random_state=0)
    bands = list(row_chunks(x))
    assert len(bands) > 1
    np.testing.assert_allclose(sp.vstack(bands).toarray(), x.toarray(), rtol=1e-6)


def test_entries_that_stand_twice_are_added():
    twice = sp.csr_matrix((np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))
    assert canonical(twice).toarray().tolist() == [[0, 3, 0]]
    assert twice.nnz == 2  # what was given stays


def test_what_is_in_memory_is_not_backed():
    assert not is_backed(np.zeros((2, 2)))
    assert not is_backed(sp.csr_matrix((2, 2)))


# ---- indices that point outside -----------------------------------------------------------------

COUNTS = np.random.default_rng(0).poisson(0.7, (12, 7)) + np.eye(12, 7, dtype=int)
N = int((COUNTS > 0).sum())
V2 = pytest.mark.filterwarnings("ignore:Writing zarr v2")  # what anndata says before 0.13


def arrays() -> dict[str, np.ndarray]:
    x = sp.csr_matrix(COUNTS, dtype=np.float32)
    return {
        "data": x.data,
        "indices": x.indices.astype(np.int64),
        "indptr": x.indptr.astype(np.int64),
    }


def at(name: str, place: int, value: int) -> Callable[[dict[str, np.ndarray]], None]:
    def change(parts: dict[str, np.ndarray]) -> None:
        parts[name][place] = value

    return change


def to(
    name: str, turned: Callable[[np.ndarray], np.ndarray]
) -> Callable[[dict[str, np.ndarray]], None]:
    def change(parts: dict[str, np.ndarray]) -> None:
        parts[name] = turned(parts[name])

    return change


MALFORMED = {
    "index just outside": at("indices", -1, 7),
    "negative index": at("indices", 5, -1),
    "indptr that falls": at("indptr", 3, 0),
    "indptr huge": at("indptr", 4, 2**62),
    "indptr that returns to 0": at("indptr", -1, 0),
    "indptr that starts late": at("indptr", 0, 1),
    "indptr short": to("indptr", lambda part: part[:-1]),
    "short data": to("data", lambda part: part[:-3]),
}
IN_FILES = ["index just outside", "indptr that falls", "short data"]


def in_memory(parts: dict[str, np.ndarray], by_genes: bool = False) -> Any:
    x = (
        sp.csc_matrix((7, 12), dtype=np.float32)
        if by_genes
        else sp.csr_matrix((12, 7), dtype=np.float32)
    )
    x.data, x.indices, x.indptr = parts["data"], parts["indices"], parts["indptr"]
    return x


def test_malformed_in_memory(subtests):
    for case in MALFORMED:
        with subtests.test(case=case):
            parts = arrays()
            MALFORMED[case](parts)
            for by_genes in (False, True):
                with pytest.raises(UserError, match="sparse matrix is malformed"):
                    checked(in_memory(parts, by_genes))


def test_malformed_in_an_anndata():
    parts = arrays()
    adata = AnnData(in_memory(parts))
    MALFORMED["negative index"](parts)
    with pytest.raises(UserError, match="sparse matrix is malformed"):
        jojoscl.cluster(adata, 2)


def write_h5ad(path: Path, parts: dict[str, np.ndarray], key: str = "X") -> None:
    adata = AnnData(sp.csr_matrix(COUNTS, dtype=np.float32))
    adata.layers["counts"] = adata.X.copy()
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for name, part in parts.items():
            del file[key][name]
            file[key].create_dataset(name, data=part)


def write_zarr(path: Path, parts: dict[str, np.ndarray]) -> None:
    AnnData(sp.csr_matrix(COUNTS, dtype=np.float32)).write_zarr(path)
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name, part in parts.items():
        group["X"].create_array(name, data=part, overwrite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that not every reader knows consolidated metadata
        zarr.consolidate_metadata(path)


def write_exprs(path: Path, parts: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, part in parts.items():
            file[f"exprs/{name}"] = part
        file["exprs/shape"] = COUNTS.shape


def write_tenx(path: Path, parts: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, part in parts.items():
            file[f"matrix/{name}"] = part
        file["matrix/shape"] = COUNTS.shape[::-1]
        file["matrix/barcodes"] = np.array([f"AAACCTGA{i}-1" for i in range(12)], "S")
        file["matrix/features/id"] = np.array([f"ENSG{i}" for i in range(7)], "S")
        file["matrix/features/genome"] = np.array(["GRCh38"] * 7, "S")
        file["matrix/features/name"] = np.array([f"Gene{i}" for i in range(7)], "S")
        file["matrix/features/feature_type"] = np.array(
            ["Gene Expression"] * 6 + ["Antibody Capture"], "S"
        )


WRITERS = {
    "a.h5ad": write_h5ad,
    "a.zarr": write_zarr,
    "exprs.h5": write_exprs,
    "10x.h5": write_tenx,
}


@V2
def test_well_formed_files_are_read(tmp_path, subtests):
    """So that those below are refused for what is wrong in them, and for nothing else."""
    for name, write in WRITERS.items():
        write(tmp_path / name, arrays())
        with subtests.test(name=name):
            n_genes = 6 if name == "10x.h5" else 7  # the seventh is an antibody there
            found = as_cells(read_file(tmp_path / name)).X.toarray()
            np.testing.assert_array_equal(found, COUNTS[:, :n_genes])
        if name in ("a.h5ad", "a.zarr"):
            with subtests.test(name=name, backed=True):
                x = FileDataset(path=tmp_path / name, backed=True).load().X
                np.testing.assert_array_equal(stack_rows(row_chunks(x)).toarray(), COUNTS)


@V2
def test_malformed_in_a_file(tmp_path, subtests):
    for case, name in product(IN_FILES, WRITERS):
        with subtests.test(case=case, name=name):
            parts = arrays()
            MALFORMED[case](parts)
            WRITERS[name](tmp_path / name, parts)
            with pytest.raises(UserError) as error:
                as_cells(read_file(tmp_path / name))
            assert "\n" not in str(error.value)


@V2
def test_malformed_in_a_file_that_is_read_in_bands(tmp_path, monkeypatch, subtests):
    for case, name in product(IN_FILES, ["a.h5ad", "a.zarr"]):
        with subtests.test(case=case, name=name):
            monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 7 * 3)  # three rows
            parts = arrays()
            MALFORMED[case](parts)
            WRITERS[name](tmp_path / name, parts)
            with pytest.raises(UserError) as error:  # at once, or at its band
                stack_rows(row_chunks(FileDataset(path=tmp_path / name, backed=True).load().X))
            assert "\n" not in str(error.value)


def test_only_the_layer_that_is_asked_for_is_looked_at(tmp_path):
    parts = arrays()
    MALFORMED["index just outside"](parts)
    write_h5ad(tmp_path / "a.h5ad", parts)
    cells = FileDataset(path=tmp_path / "a.h5ad", layer="counts").load()
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS)


def test_entries_that_stand_twice_in_a_file_are_added(tmp_path):
    parts = arrays()
    parts["indices"][1] = parts["indices"][0]
    write_h5ad(tmp_path / "a.h5ad", parts)
    expected = sp.csr_matrix(
        (parts["data"], parts["indices"], parts["indptr"]), shape=(12, 7)
    ).toarray()
    cells = FileDataset(path=tmp_path / "a.h5ad").load()
    np.testing.assert_array_equal(cells.X.toarray(), expected)
