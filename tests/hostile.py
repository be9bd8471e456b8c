"""Damaged files and what is left of processes, for tests and for `python -m tests.fuzz`."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp
from anndata import AnnData

COUNTS = np.random.default_rng(0).poisson(1.0, (30, 20)) + np.eye(30, 20)


# ---- files ---------------------------------------------------------------------------------------


def sparse_h5ad(path: Path) -> None:
    AnnData(sp.csr_matrix(COUNTS, dtype=np.float32)).write_h5ad(path)


def dense_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=COUNTS, compression="gzip")
        file["Y"] = np.arange(30) % 3


def sparse_h5(path: Path) -> None:
    x = sp.csr_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        for name in ("data", "indices", "indptr", "shape"):
            file[f"exprs/{name}"] = getattr(x, name)
        file["obs_names"], file["var_names"] = (
            np.array([f"n{i}" for i in range(n)], "S") for n in x.shape
        )


# ---- damage --------------------------------------------------------------------------------------


def flipped_or_cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one bit anywhere; in a third of the cases cut the end off there."""
    changed, at = bytearray(content), rng.integers(len(content))
    changed[at] ^= 1 << rng.integers(8)
    return bytes(changed[:at] if rng.random() < 0.3 else changed)


def stretches(path: Path) -> list[tuple[int, int]]:
    """Return where in the file the values of each array lie; HDF5 guards the rest itself."""
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
    """Change a few bytes of the arrays, zero a stretch, or cut the end off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 10)):
        start, size = places[rng.integers(len(places))]
        changed[start + rng.integers(size)] = rng.integers(256)
    if rng.random() < 0.2:
        changed[start : start + size // 2] = bytes(size // 2)
    return bytes(changed[: rng.integers(len(content))] if rng.random() < 0.1 else changed)


def indices_changed(path: Path, rng: np.random.Generator) -> None:
    """Add random numbers, small and huge, to the indices of a sparse matrix."""
    with h5py.File(path, "r+") as file:
        part = file["X" if "X" in file else "exprs"][rng.choice(["indices", "indptr"])]
        values = part[()]
        places = rng.integers(0, values.size, 3)
        values.flat[places] += rng.choice([-(2**31), -1, 1, 3, 1000, 2**31 - 1], 3).astype(
            values.dtype
        )
        part[...] = values


# ---- processes -----------------------------------------------------------------------------------


def processes_with(mark: str) -> list[str]:
    """Return the live processes that have `mark` in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                mark.encode() in (path / "environ").read_bytes()
                and ") Z" not in (path / "stat").read_text()
            ):
                found.append(path.name)
    return found


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for something, but not longer."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)
