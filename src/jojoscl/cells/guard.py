"""What is refused before it does harm: files that do not parse, that unpack to too much, or whose indices are wrong."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import psutil
import scipy.sparse as sp

from jojoscl.utils.errors import UserError

MAX_RATIO = 500  # no table or matrix of cells is packed tighter than this
ALWAYS_FINE = 1 << 28  # bytes that are unpacked whatever their ratio


def is_zarr(path: Path) -> bool:
    """Return whether `path` is the folder of a zarr store."""
    return (path / "zarr.json").is_file() or (path / ".zgroup").is_file()


def is_there(path: Path) -> bool:
    """Return whether `path` is a file or a zarr store; no file has a name that the system does not take."""
    try:
        return path.is_file() or is_zarr(path)
    except PermissionError:
        raise
    except (OSError, ValueError):
        return False


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a parser raises on a missing or damaged file into one sentence; silence its warnings."""
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
            f"{path} cannot be read (no permission): make it readable, for instance by chmod u+r, or copy it."
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
    """Return a sparse matrix in memory as CSR, sharing what it can, once compiled code may be given its indices."""
    if x.format not in ("csr", "csc"):
        raise UserError(
            f"The matrix is stored as {x.format}: give it by cells, for instance by adata.X.tocsr()."
        )
    return sparse_of((x.data, x.indices, x.indptr), x.shape, by_genes=x.format == "csc")


def sparse_of(
    parts: Iterable[np.ndarray], shape: tuple[int, ...], *, by_genes: bool = False
) -> sp.csr_matrix:
    """Build a CSR matrix of `shape` from data, indices and indptr of one, or of a CSC matrix where they go `by_genes`.

    A :class:`UserError` says that the three do not fit together.
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
        if (
            indptr.ndim != 1 or (np.diff(indptr.astype(np.int64)) < 0).any()
        ):  # scipy looks only where there are values
            raise ValueError("indptr must not decrease")
        matrix = build((data, indices, indptr), shape=shape)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UserError(
            f"The sparse matrix is malformed ({error}): write it again from its source."
        ) from error
    return matrix.tocsr()


def available_memory() -> float:
    """Return how many bytes can still be had, here or in this container."""
    found = [psutil.virtual_memory().available]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max" is no number
            found.append(int(Path(limit).read_text()))
    return min(found)


def check_room(path: Path, n_bytes: float, what: str) -> None:
    """Refuse to read `what` where it needs more bytes than there are."""
    if n_bytes > (free := available_memory()):
        raise UserError(
            f"{path}: {what} needs {n_bytes / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free: "
            "if it is as large as that, give data.backed=true or a machine with more memory; if not, get it again."
        )


def check_declared(path: Path, node: h5py.Group | h5py.Dataset) -> float:
    """Return the bytes that all datasets below a node of HDF5 or zarr declare; far more than are stored is refused."""
    if hasattr(node, "keys"):
        return sum(check_declared(path, node[key]) for key in node)
    declared = math.prod(node.shape or ()) * node.dtype.itemsize
    stored = node.id.get_storage_size() if isinstance(node, h5py.Dataset) else node.nbytes_stored()
    if declared > max(ALWAYS_FINE, MAX_RATIO * stored):
        raise UserError(
            f"{path} declares {' x '.join(map(str, node.shape))} values in {node.name}, {declared / 2**30:.1f} GiB, "
            f"and stores {stored} bytes of them: it is damaged or made to fill the memory, get it again."
        )
    return float(declared)


class Unpacked(io.RawIOBase):
    """What `source` unpacks from the file `path`: refused where it is far larger than the file."""

    def __init__(self, path: Path, source: IO[bytes]) -> None:
        self.path, self.source = path, source
        self.left = max(ALWAYS_FINE, MAX_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with what comes next."""
        block = self.source.read(len(buffer))
        buffer[: len(block)] = block
        self.left -= len(block)
        if self.left < 0:
            raise UserError(
                f"{self.path} unpacks to over {MAX_RATIO} times its size, as no table does: get it again."
            )
        return len(block)


def unpacked(path: Path, source: IO[bytes]) -> io.BufferedReader:
    """Return a reader of :class:`Unpacked`."""
    return io.BufferedReader(Unpacked(path, source), 1 << 16)
