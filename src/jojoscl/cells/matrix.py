"""Matrices of cells x genes as float32 CSR, in memory or in bands from a file; their values."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
import scipy.sparse as sp
import zarr
from anndata.abc import CSRDataset

from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import reading

Stored: TypeAlias = CSRDataset | h5py.Dataset  # in its file; zarr is used as h5py is
Matrix: TypeAlias = Stored | sp.csr_matrix

KINDS = ("counts", "rpkm", "log1p")
BAND_BYTES = 1 << 26  # files are read in bands of about 64 MiB
BANDS_OF_BAND = 32  # a matrix in memory comes in smaller ones, which the processor's cache holds
WHOLE = 1e-3  # values this near to a whole number of 1 or more are whole
LARGEST_LOG = 30.0  # no normalised value is as large as its exponential
_SAMPLE = 500  # cells that are looked at
_FEWEST = 20  # genes that must be common before their variance says anything


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
            f"{file_of(x)} holds {x.dtype} values of shape {x.shape}: give a matrix of numbers."
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
        raise UserError(f"The sparse matrix is malformed ({error}): write it again.") from error
    return matrix.tocsr()


def row_chunks(x: Matrix) -> Iterator[sp.csr_matrix]:
    """Yield bands of rows as float32 CSR."""
    stays = is_backed(x)
    # bytes of an entry; of a sparse matrix about an eighth is there, at 8 bytes each
    entry = 1 if hasattr(x, "format") else 4
    size = BAND_BYTES if stays else BAND_BYTES // BANDS_OF_BAND
    step = max(1, size // (entry * max(1, x.shape[1])))
    for start in range(0, x.shape[0], step):
        rows = _from_file(x, start, start + step) if stays else x[start : start + step]
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


def kind_of(x: sp.csr_matrix, kind: str, said: Mapping[str, object]) -> tuple[str, str]:
    """Return what the checked values of x (n, genes) are, and what decided it.

    A `kind` other than "auto" holds if the values allow it. Otherwise whole numbers are counts,
    unless they vary less than counts can; values are logarithms if what they are natural logarithms
    of has the same sum in each cell; and what :func:`~jojoscl.cells.checks.as_cells` noted in
    ``uns``, `said`, holds if the values do not contradict it. A doubt is a :class:`UserError`.
    """
    if kind not in ("auto", *KINDS):
        raise UserError(
            f"There is no kind of values {kind!r}{nearest(str(kind), ('auto', *KINDS))}."
        )
    check_values(x.data, kind)
    if kind != "auto":
        return kind, "setting"
    largest = float(x.data.max(initial=0))
    rows = np.unique(np.linspace(0, x.shape[0] - 1, _SAMPLE).astype(int))
    some = x[rows].astype(np.float64)
    if is_whole(x.data).all():
        if largest < LARGEST_LOG and _steadier_than_counts(some):
            raise UserError(
                "The values are whole numbers, but vary less than counts do, like rounded "
                "logarithms: give kind='counts' if they are counts, or name their layer by layer=."
            )
        return "counts", "whole numbers"
    noted, by = said.get("kind"), said.get("kind_decided_by")
    if by and noted in ("rpkm", "log1p") and (noted == "log1p") == (largest < LARGEST_LOG):
        return str(noted), str(by)
    if largest < LARGEST_LOG and _equal_sums(some):
        return "log1p", "equal sums of cells (log1p undone)"
    raise UserError(
        "The values are neither whole numbers nor log-normalised beyond doubt (the largest is "
        f"{largest:.4g}): say what they are by kind='log1p' or kind='rpkm' (which is right for "
        "corrected counts), or name the layer of the counts by layer=."
    )


def check_values(x: np.ndarray, kind: str) -> None:
    """Refuse values that are missing, infinite, negative, or not what `kind` says."""
    if not np.isfinite(x).all():
        raise UserError(f"{(~np.isfinite(x)).sum()} values are NaN or infinite: replace them.")
    if (x < 0).any():
        raise UserError(
            f"{(x < 0).sum()} values are negative, as in scaled data: name the layer of the "
            "counts, or of log-normalised values, by layer= (layer='raw' if they are in adata.raw)."
        )
    if kind == "log1p" and x.max(initial=0) > LARGEST_LOG:
        raise UserError(
            f"The values are no logarithms, as the largest is {x.max():.4g}: give "
            "kind='counts' or kind='rpkm', or name the layer of the logarithms by layer=."
        )
    if kind == "counts" and not (fits := is_whole(x)).all():
        raise UserError(
            f"The values are no counts, as they are not whole (such as {x[~fits][0]:.4g}): give "
            "kind='log1p' or kind='rpkm', or name the layer of the counts by layer=."
        )


def is_whole(values: np.ndarray) -> np.ndarray:
    """Return which values are 0, or whole up to rounding, as ``expm1(log1p(counts))`` are."""
    near = np.rint(values)
    return (np.abs(values - near) <= WHOLE) & ((near >= 1) | (values == 0))


def _equal_sums(cells: sp.csr_matrix) -> bool:
    """Return whether cells have equal sums of exp(x) - 1, nine in ten within 1 %, and not of x."""
    spreads = []
    for values in (cells, cells.expm1()):
        sums = np.asarray(values.sum(1)).ravel()
        low, middle, high = np.quantile(sums[sums > 0], [0.05, 0.5, 0.95])
        spreads.append((high - low) / middle)
    return bool(spreads[1] < min(0.01, spreads[0]))


def _steadier_than_counts(cells: sp.csr_matrix) -> bool:
    """Return whether common genes vary far less than counts: by less than 0.4 times their mean."""
    mean = np.asarray(cells.mean(0)).ravel()
    variance = np.asarray(cells.multiply(cells).mean(0)).ravel() - mean**2
    common = mean >= 1
    enough = cells.shape[0] >= _FEWEST and common.sum() >= _FEWEST
    return bool(enough and np.median(variance[common] / mean[common]) < 0.4)
