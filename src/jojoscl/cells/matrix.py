"""Matrices in memory and in their files: bands of rows to CSR, and parts to an AnnData."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata import AnnData
from anndata.abc import CSRDataset
from anndata.io import sparse_dataset

from jojoscl.cells.guard import check_declared, check_room, checked, reading, sparse_of
from jojoscl.utils.errors import UserError, nearest

Stored: TypeAlias = CSRDataset | h5py.Dataset  # in its file; zarr is used as h5py is
Matrix: TypeAlias = Stored | sp.csr_matrix
Column: TypeAlias = np.ndarray | pd.Index | pd.Series

BAND_BYTES = 1 << 26  # dense matrices are read in bands of about 64 MiB


def stack_rows(bands: Iterable[np.ndarray | sp.csr_matrix]) -> sp.csr_matrix:
    """Put bands of rows, dense or sparse, one below the other as float32 CSR."""
    parts = [sp.csr_matrix(band, dtype=np.float32) for band in bands]
    return sp.vstack(parts, format="csr") if parts else sp.csr_matrix((0, 0), dtype=np.float32)


def matrix_in(group: h5py.Group, layer: str | None, path: Path) -> Stored:
    """Return the matrix of an h5ad's or a zarr's group, not read yet: X, ``raw`` or a layer."""
    layers = {name: f"layers/{name}" for name in group.get("layers", ())}
    names = {None: "X"} | ({"raw": "raw/X"} if "raw/X" in group else {}) | layers
    if names[None] not in group and layer is None:
        raise UserError(
            f"{path} has no matrix X: name the layer that holds the values by data.layer."
        )
    if layer not in names:
        there = [name for name in names if name is not None]
        near = nearest(layer or "", there) if there else ": it has none"
        raise UserError(f"{path} has no layer {layer!r}{near}.")
    node = group[names[layer]]
    x = sparse_dataset(node) if hasattr(node, "keys") else node
    check_stored(path, x)
    return x


def is_backed(x: object) -> bool:
    """Return whether the matrix x, sparse or dense, stays in its file."""
    return hasattr(x, "group") or isinstance(x, h5py.Dataset | zarr.Array)


def file_of(x: Stored) -> Path:
    """Return the file, or the folder of zarr, that the matrix x is in."""
    node = getattr(x, "group", x)
    return Path(node.file.filename if hasattr(node, "file") else node.store.root)


def check_stored(path: Path, x: Stored) -> None:
    """Refuse a matrix in a file that declares more than is there, before it is read."""
    if len(x.shape) != 2 or min(x.shape) < 0 or x.dtype.kind not in "biuf":
        raise UserError(
            f"{path} holds {x.dtype} values of shape {x.shape}: give a matrix of numbers, cells x "
            "genes."
        )
    if group := getattr(x, "group", None):
        lengths = [group[name].shape for name in ("data", "indices", "indptr")]
        fits = lengths[0] == lengths[1] and lengths[2] == (x.shape[x.format == "csc"] + 1,)
        if not fits or group["indptr"][0] != 0:
            raise UserError(
                f"{path}: the sparse matrix is malformed (lengths {lengths}): write it again."
            )
    check_declared(path, group or x)
    check_room(path, 8 * x.shape[1], "one row")


def loaded(x: Stored) -> sp.csr_matrix:
    """Read a matrix that is in its file into memory, as float32 CSR."""
    path, group = file_of(x), getattr(x, "group", None)
    if group is None:
        return stack_rows(row_chunks(x))
    check_room(path, check_declared(path, group), "its matrix")
    by_genes = x.format == "csc"
    parts = (group[name][:] for name in ("data", "indices", "indptr"))
    return sparse_of(parts, x.shape, by_genes=by_genes).astype(np.float32)


def row_chunks(x: Matrix) -> Iterator[sp.csr_matrix]:
    """Yield bands of rows, about BAND_BYTES each, as float32 CSR."""
    # bytes of an entry; of a sparse matrix about an eighth is there, at 8 bytes each
    entry = 1 if hasattr(x, "format") else 4
    step = max(1, BAND_BYTES // (entry * max(1, x.shape[1])))
    for start in range(0, x.shape[0], step):
        with reading(file_of(x)) if is_backed(x) else contextlib.nullcontext():
            rows = _rows(x, start, min(start + step, x.shape[0]))
            band = canonical(sp.csr_matrix(rows, dtype=np.float32))
        yield band


def _rows(x: Matrix, start: int, stop: int) -> np.ndarray | sp.csr_matrix:
    rows = x[start:stop]
    return checked(rows) if is_backed(x) and sp.issparse(rows) else rows


def canonical(values: Matrix) -> sp.csr_matrix:
    """Return CSR with sorted indices and no entry twice; a copy only where it is not so yet."""
    x: sp.csr_matrix = sp.csr_matrix(values)
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    return x


def to_cells(
    path: Path,
    x: sp.csr_matrix,
    obs: Mapping[str, Column],
    obs_names: Column | None = None,
    var_names: Column | None = None,
) -> AnnData:
    """Put cells x genes and their annotation together; missing names are numbered."""
    cells, genes = (
        pd.Index(
            [f"{word}{i}" for i in range(size)] if given is None else np.asarray(given).astype(str)
        )
        for word, size, given in (("cell", x.shape[0], obs_names), ("gene", x.shape[1], var_names))
    )
    for name, values in [*obs.items(), ("names of cells", cells)]:
        if len(values) != x.shape[0]:
            turned = len(values) == x.shape[1]
            way_out = (
                "it looks transposed, change data.transpose"
                if turned
                else "give a file whose parts fit"
            )
            raise UserError(
                f"{path}: {name} has {len(values)} entries for {x.shape[0]} rows: {way_out}."
            )
    annotation = pd.DataFrame(
        {name: np.asarray(values) for name, values in obs.items()}, index=cells
    )
    return AnnData(X=x, obs=annotation, var=pd.DataFrame(index=genes))
