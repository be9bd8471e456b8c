"""What all readers share: words for a file that cannot be read, bands of rows to CSR, parts to AnnData."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import sparse_dataset

from jojoscl.utils.errors import UserError, nearest

BAND_BYTES = 1 << 26
"""Dense matrices are read in bands of about 64 MiB."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a parser raises on a missing or damaged file into one sentence; silence its warnings."""
    if not path.is_file() and not (path / "zarr.json").is_file() and not (path / ".zgroup").is_file():
        raise UserError(f"{path} does not exist, or is not a file: give the path of an existing one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged file can make a parser raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"{path} cannot be read ({reason}): it may be damaged, get it again.") from error


def stack_rows(bands: Iterable[Any]) -> sp.csr_matrix:
    """Put bands of rows, dense or sparse, one below the other as float32 CSR, holding little memory twice."""
    data, indices, lengths, width = [], [], [np.zeros(1, np.int64)], 0
    for band in map(sp.csr_matrix, bands):
        data.append(band.data.astype(np.float32, copy=False))
        indices.append(band.indices.astype(np.int32, copy=False))
        lengths.append(np.diff(band.indptr))
        width = band.shape[1]
    indptr = np.cumsum(np.concatenate(lengths), dtype=np.int64)
    values = np.concatenate(data or [np.empty(0, np.float32)])
    data.clear()
    columns = np.concatenate(indices or [np.empty(0, np.int32)])
    indices.clear()
    kind = np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64  # scipy wants one type for both
    parts: Any = (values, columns.astype(kind, copy=False), indptr.astype(kind))
    return sp.csr_matrix(parts, shape=(len(indptr) - 1, width))


def matrix_in(group: Any, layer: str | None, path: Path) -> Any:
    """The matrix of an h5ad's or a zarr's group, which is read when it is used: X, ``raw`` or a layer.

    Raises
    ------
    UserError
        There is none of this name.
    """
    names = {None: "X", "raw": "raw/X"} | {name: f"layers/{name}" for name in group.get("layers", ())}
    if layer not in names or names[layer] not in group:
        raise UserError(f"{path} has no matrix {names.get(layer, layer)}{nearest(str(layer), map(str, names))}.")
    node = group[names[layer]]
    return sparse_dataset(node) if hasattr(node, "keys") else node


def is_backed(x: Any) -> bool:
    """Whether the matrix x stays in its file: anndata's sparse dataset, a dense one of h5py or zarr, or dask's."""
    return not isinstance(x, np.ndarray) and not sp.issparse(x)


def row_chunks(x: Any) -> Iterator[sp.csr_matrix]:
    """Bands of rows of a matrix in memory or in its file, as float32 CSR; about BAND_BYTES each, or dask's blocks."""
    if hasattr(x, "numblocks"):
        yield from (canonical(sp.csr_matrix(x.blocks[i].compute(), dtype=np.float32)) for i in range(x.numblocks[0]))
        return
    entry = 1 if hasattr(x, "format") else 4  # bytes: of a sparse matrix an eighth is there, at 8 bytes each
    step = max(1, BAND_BYTES // (entry * max(1, x.shape[1])))
    for start in range(0, x.shape[0], step):
        yield canonical(sp.csr_matrix(x[start : start + step], dtype=np.float32))


def canonical(values: Any) -> sp.csr_matrix:
    """As CSR with sorted indices and no entry twice; a copy only where it is not so yet."""
    x: sp.csr_matrix = sp.csr_matrix(values)
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    return x


def to_cells(path: Path, x: Any, obs: dict[str, Any], obs_names: Any = None, var_names: Any = None) -> AnnData:
    """Cells x genes with their annotation, once it is seen that the parts fit; missing names are numbered.

    Raises
    ------
    UserError
        A column of `obs`, or the names, have another length than `x`.
    """
    cells, genes = (
        pd.Index([f"{word}{i}" for i in range(size)] if given is None else np.asarray(given).astype(str))
        for word, size, given in (("cell", x.shape[0], obs_names), ("gene", x.shape[1], var_names))
    )
    for name, values in [*obs.items(), ("names of cells", cells)]:
        if len(values) != x.shape[0]:
            turned = len(values) == x.shape[1]
            way_out = "it looks transposed, change data.transpose" if turned else "give a file whose parts fit"
            raise UserError(f"{path}: {name} has {len(values)} entries for {x.shape[0]} rows: {way_out}.")
    annotation = pd.DataFrame({name: np.asarray(values) for name, values in obs.items()}, index=cells)
    return AnnData(X=x, obs=annotation, var=pd.DataFrame(index=genes))
