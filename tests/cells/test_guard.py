"""What would do harm is refused before: indices that point outside, and files that unpack to too much."""

from __future__ import annotations

import gzip
import math
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from anndata import AnnData

import jojoscl
from jojoscl.cells import guard
from jojoscl.cells.checks import as_cells
from jojoscl.cells.guard import available_memory, check_room, checked
from jojoscl.cells.matrix import row_chunks, stack_rows
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.load import FileDataset
from jojoscl.datasets.readers import read_file
from jojoscl.utils.errors import UserError

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
    "index far outside": at("indices", 5, 100_000),
    "index just outside": at("indices", -1, 7),
    "negative index": at("indices", 5, -1),
    "indptr that falls": at("indptr", 3, 0),
    "indptr too large": at("indptr", -1, N + 1),
    "indptr huge": at("indptr", 4, 2**62),
    "indptr negative": at("indptr", 4, -5),
    "indptr that returns to 0": at("indptr", -1, 0),
    "indptr that starts late": at("indptr", 0, 1),
    "indptr short": to("indptr", lambda part: part[:-1]),
    "short data": to("data", lambda part: part[:-3]),
    "short indices": to("indices", lambda part: part[:-3]),
    "indices as fractions": to("indices", lambda part: part.astype(float)),
    "indptr beyond int64": to(
        "indptr",
        lambda part: np.where(part == part[3], np.uint64(2**64 - 5), part.astype(np.uint64)),
    ),
    "data in words": to("data", lambda part: part.astype("S3")),
}


def in_memory(parts: dict[str, np.ndarray], by_genes: bool = False) -> Any:
    x = (
        sp.csc_matrix((7, 12), dtype=np.float32)
        if by_genes
        else sp.csr_matrix((12, 7), dtype=np.float32)
    )
    x.data, x.indices, x.indptr = parts["data"], parts["indices"], parts["indptr"]
    return x


@pytest.mark.parametrize("by_genes", [False, True])
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_in_memory(case: str, by_genes: bool) -> None:
    parts = arrays()
    MALFORMED[case](parts)
    with pytest.raises(UserError, match="sparse matrix is malformed"):
        checked(in_memory(parts, by_genes))


@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize(
    "case", ["index far outside", "indptr that returns to 0", "negative index"]
)
def test_malformed_in_an_anndata(case: str, view: bool) -> None:
    parts = arrays()
    adata = AnnData(in_memory(parts))
    MALFORMED[case](parts)
    with pytest.raises(UserError, match="sparse matrix is malformed"):
        jojoscl.cluster(adata[[1, 3, 2, 5]] if view else adata, 2)


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
        file["matrix/features/name"] = np.array([f"Gene{i}" for i in range(7)], "S")
        file["matrix/features/feature_type"] = np.array(
            ["Gene Expression"] * 6 + ["Antibody Capture"], "S"
        )


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize(
    ("name", "write"),
    [("a.h5ad", write_h5ad), ("exprs.h5", write_exprs), ("tenx.h5", write_tenx)],
    ids=["h5ad", "exprs", "10x"],
)
def test_malformed_in_a_file(
    tmp_path: Path, case: str, name: str, write: Callable[..., None]
) -> None:
    parts = arrays()
    MALFORMED[case](parts)
    write(tmp_path / name, parts)
    with pytest.raises(UserError) as error:
        as_cells(read_file(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_in_a_file_that_is_read_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 7 * 3)  # three rows
    parts = arrays()
    MALFORMED[case](parts)
    write_h5ad(tmp_path / "a.h5ad", parts)
    with pytest.raises(UserError) as error:  # at once, or at its band
        stack_rows(row_chunks(FileDataset(path=tmp_path / "a.h5ad", backed=True).load().X))
    assert "\n" not in str(error.value)


@V2
@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("case", ["index far outside", "indptr that falls", "short data"])
def test_malformed_in_a_zarr(tmp_path: Path, case: str, backed: bool) -> None:
    parts = arrays()
    MALFORMED[case](parts)
    write_zarr(tmp_path / "a.zarr", parts)
    with pytest.raises(UserError):
        stack_rows(row_chunks(FileDataset(path=tmp_path / "a.zarr", backed=backed).load().X))


@V2
@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr"])
def test_well_formed_files_give_the_same_in_memory_and_in_bands(
    tmp_path: Path, name: str, backed: bool
) -> None:
    (write_h5ad if name == "a.h5ad" else write_zarr)(tmp_path / name, arrays())
    x = FileDataset(path=tmp_path / name, backed=backed).load().X
    np.testing.assert_array_equal(stack_rows(row_chunks(x)).toarray(), COUNTS)


def test_only_the_layer_that_is_asked_for_is_looked_at(tmp_path: Path) -> None:
    parts = arrays()
    MALFORMED["index far outside"](parts)
    write_h5ad(tmp_path / "a.h5ad", parts)
    cells = FileDataset(path=tmp_path / "a.h5ad", layer="counts").load()
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS)


def test_matrices_of_10x(tmp_path: Path) -> None:
    write_tenx(tmp_path / "a.h5", arrays())
    cells = read_file(tmp_path / "a.h5")
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS[:, :6])
    assert cells.obs_names[3] == "AAACCTGA3-1"
    assert list(cells.var_names) == [f"Gene{i}" for i in range(6)]


def test_entries_that_stand_twice_are_added(tmp_path: Path) -> None:
    parts = arrays()
    parts["indices"][1] = parts["indices"][0]
    write_h5ad(tmp_path / "a.h5ad", parts)
    expected = sp.csr_matrix(
        (parts["data"], parts["indices"], parts["indptr"]), shape=(12, 7)
    ).toarray()
    cells = FileDataset(path=tmp_path / "a.h5ad").load()
    np.testing.assert_array_equal(cells.X.toarray(), expected)
    assert Preprocess(n_top_genes=None)(cells).n_obs == 12


# ---- sizes ---------------------------------------------------------------------------------------


def dense(shape: tuple[int, ...], name: str = "X") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset(
                name, shape=shape, dtype="f4", chunks=tuple(min(64, n) for n in shape)
            )

    return write


def declared(shape: tuple[int, int]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_h5ad(path, {})
        with h5py.File(path, "r+") as file:
            file["X"].attrs["shape"] = shape

    return write


def values_never_written(path: Path) -> None:
    write_h5ad(path, {})
    with h5py.File(path, "r+") as file:
        for name in ("data", "indices"):
            del file["X"][name]
            file["X"].create_dataset(name, shape=(10**10,), dtype="i4", chunks=(64,))


def bomb(path: Path) -> None:
    """One line of 3 MB of nothing, in 3 KB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.csv", "w") as file,
    ):
        for _ in range(3):
            file.write(b"0," * 500_000)


def gz_bomb(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(b"c,g\n")
        for _ in range(3):
            file.write(b"a,0\n" * 250_000)


HUGE = {
    "dense h5": ("a.h5", dense((10**9, 10**9)), "declares 1000000000 x 1000000000 values"),
    "dense h5, not that wide": ("a.h5", dense((10**7, 10**3)), "declares 10000000 x 1000 values"),
    "dense h5ad": ("a.h5ad", dense((10**9, 10**9)), "declares 1000000000 x 1000000000 values"),
    "sparse h5ad": ("a.h5ad", declared((10**9, 10**9)), "malformed"),
    "sparse h5ad without rows": ("a.h5ad", declared((12, 10**13)), "needs .* GiB of memory, and"),
    "values that were never written": (
        "a.h5ad",
        values_never_written,
        "declares 10000000000 values in /X/data",
    ),
    "zip": ("a.zip", bomb, "unpacks to over 500 times its size"),
    "gz": ("a.csv.gz", gz_bomb, "unpacks to over 500 times its size"),
    "wide table": ("a.csv", lambda path: path.write_bytes(b"g," * 1000), "has 1001 columns"),
}


@pytest.mark.parametrize("case", HUGE)
def test_what_declares_too_much_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("jojoscl.datasets.tables.MOST_COLUMNS", 1000)
    monkeypatch.setattr(guard, "ALWAYS_FINE", 1 << 20)
    name, write, words = HUGE[case]
    write(tmp_path / name)
    with pytest.raises(UserError, match=words) as error:
        read_file(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize("case", ["dense h5ad", "sparse h5ad", "values that were never written"])
def test_what_declares_too_much_is_refused_where_it_stays_in_its_file(
    tmp_path: Path, case: str
) -> None:
    name, write, words = HUGE[case]
    write(tmp_path / name)
    with pytest.raises(UserError, match=words):
        FileDataset(path=tmp_path / name, backed=True).load()


def test_room_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 << 27 < available_memory() < math.inf
    write_h5ad(tmp_path / "a.h5ad", {})
    monkeypatch.setattr(guard, "available_memory", lambda: 60.0)
    with pytest.raises(UserError, match=r"its matrix needs .* give data\.backed=true"):
        read_file(tmp_path / "a.h5ad")
    check_room(tmp_path, 59, "this")
