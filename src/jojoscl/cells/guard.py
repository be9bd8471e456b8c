"""Refuse files that do not parse, sparse matrices with wrong indices, and what fills the memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import psutil
import scipy.sparse as sp

from jojoscl.utils.errors import UserError

MAX_RATIO = 500  # no table or matrix of cells is packed tighter than this
ALWAYS_FINE = 1 << 28  # bytes that are unpacked whatever their ratio


def is_there(path: Path) -> bool:
    """Return whether `path` is a file or the folder of a zarr store."""
    try:
        return any(p.is_file() for p in (path, path / "zarr.json", path / ".zgroup"))
    except PermissionError:
        raise
    except (OSError, ValueError):  # the system takes no such name
        return False


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a parser raises on a missing or damaged file into one sentence."""
    try:
        if not is_there(path):
            raise UserError(
                f"{path} does not exist, or is not a file: give the path of an existing one."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, MemoryError):
        raise
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be read (no permission): make it readable, for instance by chmod u+r, "
            "or copy it."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} cannot be read, as its text is not UTF-8: save it as UTF-8, for instance by "
            "iconv -f latin1 -t utf-8."
        ) from error
    except Exception as error:  # a damaged file can make a parser raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"{path} cannot be read ({reason}): it may be damaged, get it again."
        ) from error


def checked(x: sp.csr_matrix) -> sp.csr_matrix:
    """Return a sparse matrix as CSR after checking its indices; it is not copied if possible."""
    if x.format not in ("csr", "csc"):
        raise UserError(
            f"The matrix is stored as {x.format}: give it by cells, for instance by "
            "adata.X.tocsr()."
        )
    return sparse_of((x.data, x.indices, x.indptr), x.shape, by_genes=x.format == "csc")


def sparse_of(
    parts: Iterable[np.ndarray], shape: tuple[int, ...], *, by_genes: bool = False
) -> sp.csr_matrix:
    """Build a CSR matrix of `shape` from its parts, which compiled code takes without a check.

    Parameters
    ----------
    parts
        data, indices and indptr.
    shape
        Cells x genes.
    by_genes
        Whether the parts are those of a CSC matrix.

    Raises
    ------
    UserError
        The parts do not fit together.
    """
    build = sp.csc_matrix if by_genes else sp.csr_matrix
    data, indices, indptr = map(np.asarray, parts)
    try:
        if (
            data.dtype.kind not in "biuf"
            or indices.dtype.kind not in "iu"
            or indptr.dtype.kind not in "iu"
        ):
            raise ValueError(
                f"its arrays are of type {data.dtype}, {indices.dtype} and {indptr.dtype}"
            )
        # scipy looks only where there are values
        if indptr.ndim != 1 or (np.diff(indptr.astype(np.int64)) < 0).any():
            raise ValueError("indptr must not decrease")
        matrix = build((data, indices, indptr), shape=shape)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UserError(
            f"The sparse matrix is malformed ({error}): write it again from its source."
        ) from error
    return matrix.tocsr()


def check_room(path: Path, n_bytes: float, what: str) -> None:
    """Refuse to read `what` if it needs more bytes than the machine, or the container, has free."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or one without a limit: "max"
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    if n_bytes > free:
        raise UserError(
            f"{path}: {what} needs {n_bytes / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB "
            "are free: if it is as large as that, give data.backed=true or a machine with more "
            "memory; if not, get it again."
        )


def check_declared(path: Path, node: h5py.Group | h5py.Dataset) -> float:
    """Return the bytes that the datasets below a node of HDF5 or zarr declare, once they fit."""
    if hasattr(node, "keys"):
        return sum(check_declared(path, node[key]) for key in node)
    stored = node.id.get_storage_size() if isinstance(node, h5py.Dataset) else node.nbytes_stored()
    declared = math.prod(node.shape or ()) * node.dtype.itemsize
    check_ratio(path, declared, stored)
    return float(declared)


def check_ratio(path: Path, declared: float, stored: int) -> None:
    """Refuse what is far larger than its packed form: reading it would only fill the memory."""
    if declared > max(ALWAYS_FINE, MAX_RATIO * stored):
        raise UserError(
            f"{path} holds {stored} bytes that stand for {declared / 2**30:.1f} GiB, as no cells "
            "do: it is damaged or made to fill the memory, get it again."
        )


def unpacked(path: Path, source: IO[bytes]) -> bytes:
    """Return all that `source` unpacks from the file `path`, once it fits."""
    blocks, size = [], 0
    while block := source.read(1 << 20):
        blocks.append(block)
        check_ratio(path, size := size + len(block), path.stat().st_size)
    return b"".join(blocks)
