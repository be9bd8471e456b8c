"""Matrices of cells x genes, in memory or in their file, as float32 CSR in bands of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
import scipy.sparse as sp
import zarr
from anndata.abc import CSRDataset

from jojoscl.utils.errors import UserError
from jojoscl.utils.files import reading

Stored: TypeAlias = CSRDataset | h5py.Dataset  # in its file; zarr is used as h5py is
Matrix: TypeAlias = Stored | sp.csr_matrix

BAND_BYTES = 1 << 26  # dense matrices are read in bands of about 64 MiB


def stack_rows(bands: Iterable[np.ndarray | sp.csr_matrix]) -> sp.csr_matrix:
    """Put bands of rows, dense or sparse, one below the other as float32 CSR."""
    parts = [sp.csr_matrix(band, dtype=np.float32) for band in bands]
    return sp.vstack(parts, format="csr") if parts else sp.csr_matrix((0, 0), dtype=np.float32)


def is_backed(x: object) -> bool:
    """Return whether the matrix x, sparse or dense, stays in its file."""
    return hasattr(x, "group") or isinstance(x, h5py.Dataset | zarr.Array)


def file_of(x: Stored) -> Path:
    """Return the file, or the folder of zarr, that the matrix x is in."""
    node = getattr(x, "group", x)
    return Path(node.file.filename if hasattr(node, "file") else node.store.root)


def check_stored(x: Stored) -> None:
    """Refuse a matrix in a file that holds no numbers."""
    if len(x.shape) != 2 or x.dtype.kind not in "biuf":
        raise UserError(
            f"{file_of(x)} holds {x.dtype} values of shape {x.shape}: give a matrix of numbers, "
            "cells x genes."
        )


def checked(x: sp.csr_matrix) -> sp.csr_matrix:
    """Return a CSR or CSC matrix as CSR after checking its indices, which compiled code trusts.

    It is not copied if that is possible.
    """
    build = sp.csc_matrix if x.format == "csc" else sp.csr_matrix
    try:
        if (np.diff(x.indptr) < 0).any():  # scipy looks only where there are values
            raise ValueError("indptr must not decrease")
        matrix = build((x.data, x.indices, x.indptr), shape=x.shape)
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise UserError(
            f"The sparse matrix is malformed ({error}): write it again from its source."
        ) from error
    return matrix.tocsr()


def row_chunks(x: Matrix) -> Iterator[sp.csr_matrix]:
    """Yield bands of rows, about BAND_BYTES each, as float32 CSR."""
    # bytes of an entry; of a sparse matrix about an eighth is there, at 8 bytes each
    entry = 1 if hasattr(x, "format") else 4
    step = max(1, BAND_BYTES // (entry * max(1, x.shape[1])))
    for start in range(0, x.shape[0], step):
        rows = _from_file(x, start, start + step) if is_backed(x) else x[start : start + step]
        yield canonical(sp.csr_matrix(rows, dtype=np.float32))


def _from_file(x: Stored, start: int, stop: int) -> np.ndarray | sp.csr_matrix:
    with reading(file_of(x)):
        rows = x[start : min(stop, x.shape[0])]
        return checked(rows) if sp.issparse(rows) else rows


def canonical(values: Matrix) -> sp.csr_matrix:
    """Return CSR with sorted indices and no entry twice; a copy only where it is not so yet."""
    x: sp.csr_matrix = sp.csr_matrix(values)
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    return x
