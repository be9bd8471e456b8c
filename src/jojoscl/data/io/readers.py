"""Readers of the formats that public single-cell data come in.

Each gives an AnnData of cells x genes: X a float32 CSR matrix of the values as they stand in the file,
`obs` the annotation found in or beside it, under the file's own column names. Matrices stored dense are
read in bands of rows, so that no dense copy of all genes is ever in memory. A file that cannot be read is a
:class:`~jojoscl.utils.errors.UserError` that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import rdata
import scipy.io
import scipy.sparse as sp
import zarr
from anndata import AnnData
from anndata.io import read_elem

from jojoscl.data.io.collection import is_collection, open_collection
from jojoscl.data.io.matrix import BAND_BYTES, matrix_in, reading, stack_rows, to_cells
from jojoscl.data.io.tables import annotated, read_table
from jojoscl.utils.errors import UserError

TABLES = (".csv", ".tsv", ".txt", ".zip")


def read_file(
    path: Path, *, metadata: Path | None = None, label_key: str | None = None, transpose: bool = False
) -> AnnData:
    """Read any known format, told by the suffix.

    Parameters
    ----------
    metadata
        A table with a row per cell, added to `obs`.
    label_key
        Where the types are; it matters only in a csv table whose types are numbers, like the genes beside
        them.
    transpose
        The file is genes x cells (an R data file always is: there it means cells x genes).
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in TABLES:
        return read_table(path, metadata=metadata, text=[label_key] if label_key else [], transpose=transpose)
    readers = {".h5ad": read_h5ad, ".h5": read_h5, ".hdf5": read_h5, ".mat": read_mat, ".rda": read_rda}
    if suffix not in readers:
        raise UserError(f"{path} has no known suffix: give a file in {', '.join([*readers, *TABLES])}.")
    adata = readers[suffix](path, transpose=transpose)
    return adata if metadata is None else annotated(path, adata, metadata)


def read_h5ad(path: Path, *, transpose: bool = False) -> AnnData:
    """Read an AnnData file."""
    with reading(path):
        adata = anndata.read_h5ad(path)
        return adata.T if transpose else adata


def open_backed(path: Path, *, layer: str | None = None) -> AnnData:
    """An AnnData whose X stays in its file: `layer` of it, ``raw`` or X; obs and var are read.

    An h5ad, an h5, a zarr, or an annbatch collection of such (:mod:`~jojoscl.data.io.collection`).

    Raises
    ------
    UserError
        The file cannot be read, or has no such matrix.
    """
    with reading(path):
        if not path.is_dir() and not h5py.is_hdf5(path):
            raise UserError(f"{path} cannot stay in its file: data.backed=true needs an h5ad, an h5 or a zarr.")
        root: Any = zarr.open_group(path, mode="r") if path.is_dir() else h5py.File(path)
        if is_collection(root):
            return open_collection(path, layer=layer)
        x = matrix_in(root, layer, path)
        obs, var = (
            read_elem(root[key]) if key in root else None for key in ("obs", "raw/var" if layer == "raw" else "var")
        )
        if obs is None and "Y" in root:  # an h5 without annotation but types
            obs = pd.DataFrame({"Y": root["Y"][:]}, index=[f"cell{i}" for i in range(x.shape[0])])
        return AnnData(X=x, obs=obs, var=var)


def read_h5(path: Path, *, transpose: bool = False) -> AnnData:
    """Read `X` (cells x genes) and `Y` (the type of each cell), or the `exprs` layout of scziDesk's data."""
    with reading(path), h5py.File(path) as file:
        if "exprs" in file:
            obs = {name: _column(file["obs"], name) for name in file.get("obs", ()) if name != "__categories"}
            names = [_values(file[key]) if key in file else None for key in ("obs_names", "var_names")]
            return to_cells(path, _turned(_matrix(file, "exprs"), transpose), obs, *names)
        if "X" not in file:
            raise UserError(f"{path} holds {', '.join(file)}, but neither X nor exprs: give a file with the cells.")
        x = _turned(_matrix(file, "X"), transpose)
        texts = [_values(node) for key, node in file.items() if key != "Y" and _is_text(node)]
        by_length = {len(values): values for values in texts}  # of cells or genes, whatever they are called
        obs = {"Y": _values(file["Y"])} if "Y" in file else {}
        return to_cells(path, x, obs, by_length.get(x.shape[0]), by_length.get(x.shape[1]))


def read_mat(path: Path, *, transpose: bool = False) -> AnnData:
    """Read `feature` (cells x genes) and `label` of a MATLAB file, version 5 or 7.3."""
    with reading(path):
        read = _read_mat73 if h5py.is_hdf5(path) else _read_mat5
        x, label = read(path)
        return to_cells(path, _turned(x, transpose), {} if label is None else {"label": label})


def read_rda(path: Path, *, transpose: bool = False) -> AnnData:
    """Read an R data file: its largest table is genes x cells, one with a row per cell is the annotation."""
    with reading(path):
        objects = rdata.read_rda(path).values()
        frames = [item.to_pandas() if hasattr(item, "to_pandas") else item for item in objects]
        tables = sorted((item for item in frames if isinstance(item, pd.DataFrame)), key=lambda item: -item.size)
        if not tables:
            raise UserError(f"{path} holds no table: give a file with a table of genes x cells.")
        matrix = tables[0].T if transpose else tables[0]
        notes = next((item for item in tables[1:] if len(item) == matrix.shape[1]), pd.DataFrame())
        x = sp.csr_matrix(matrix.to_numpy(np.float32).T)
        obs = {str(name): values for name, values in notes.items()}
        return to_cells(path, x, obs, matrix.columns, matrix.index)


def _turned(x: sp.csr_matrix, transpose: bool) -> sp.csr_matrix:
    return x.T.tocsr() if transpose else x


def _matrix(parent: h5py.Group, key: str) -> sp.csr_matrix:
    """The matrix under `key`: a dense dataset, or a group with data, indices, indptr and shape."""
    if parent.get(key, getclass=True) is h5py.Dataset:
        return stack_rows(_bands(parent, key))
    node = parent[key]
    n_rows, n_columns = map(int, node["shape"][()] if "shape" in node else node.attrs["shape"])
    parts = (node["data"][()].astype(np.float32), node["indices"][()], node["indptr"][()])
    build = sp.csr_matrix if len(parts[2]) == n_rows + 1 else sp.csc_matrix
    return build(parts, shape=(n_rows, n_columns)).tocsr()


def _bands(parent: h5py.Group, key: str) -> Iterator[np.ndarray]:
    """Dense bands of rows.

    Some files are one tall compressed chunk, which each band would unpack anew, so the cache must hold it.
    HDF5 takes the size of the cache at the first opening only: hence the dataset is closed in between.
    """
    dataset = parent[key]
    n_rows, n_columns = dataset.shape
    row_bytes = max(1, n_columns * dataset.dtype.itemsize)
    chunk = dataset.chunks[0] if dataset.chunks else 1
    del dataset
    step = max(1, BAND_BYTES // row_bytes)
    step = step // chunk * chunk or step  # whole chunks at a time, where they are small
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(10007, max(1 << 20, 2 * chunk * row_bytes), 0.0)
    dataset = h5py.Dataset(h5py.h5d.open(parent.id, key.encode(), access))
    for start in range(0, n_rows, step):
        yield dataset.astype(np.float32)[start : start + step]


def _is_text(node: Any) -> bool:
    return isinstance(node, h5py.Dataset) and node.ndim == 1 and node.dtype.kind in "SO"


def _values(node: h5py.Dataset) -> np.ndarray:
    return np.ravel(node.asstr()[()] if node.dtype.kind in "SO" else node[()])


def _column(obs: h5py.Group, name: str) -> np.ndarray:
    """A column of annotation: values, or codes with categories beside them (-1: none)."""
    node = obs[name]
    if isinstance(node, h5py.Group):
        codes, categories = _values(node["codes"]), node["categories"]
    else:
        codes, categories = _values(node), obs.get(f"__categories/{name}")
    if categories is None:
        return codes
    return np.asarray(pd.Categorical.from_codes(codes.tolist(), categories=_values(categories).tolist()))


def _read_mat5(path: Path) -> tuple[sp.csr_matrix, np.ndarray | None]:
    content = scipy.io.loadmat(path)
    _need_feature(path, content)
    x = sp.csr_matrix(content["feature"], dtype=np.float32)
    if "label" not in content:
        return x, None
    return x, np.array([np.ravel(item)[0] for item in np.ravel(content["label"])])  # text lies in nested arrays


def _read_mat73(path: Path) -> tuple[sp.csr_matrix, np.ndarray | None]:
    """Version 7.3 is HDF5. MATLAB counts down the columns first, so there its matrices lie transposed."""
    with h5py.File(path) as file:
        _need_feature(path, file)
        if "MATLAB_sparse" in file["feature"].attrs:
            feature = file["feature"]
            parts = (feature["data"][()].astype(np.float32), feature["ir"][()], feature["jc"][()])
            shape = (int(feature.attrs["MATLAB_sparse"]), len(parts[2]) - 1)
            x = sp.csc_matrix(parts, shape=shape).tocsr()
        else:
            x = _matrix(file, "feature").T.tocsr()
        label = np.ravel(file["label"][()]) if "label" in file else None
        if label is not None and label.dtype == h5py.ref_dtype:  # text: a reference to the codes of the letters
            label = np.array(["".join(map(chr, np.ravel(file[item][()]))) for item in label])
        return x, label


def _need_feature(path: Path, content: Any) -> None:
    if "feature" not in content:
        found = ", ".join(name for name in content if not name.startswith(("__", "#"))) or "nothing"
        raise UserError(f"{path} holds {found}, but no feature: give a file with feature and label.")
