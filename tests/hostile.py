"""Damaged files, for the tests of what reads them and for `python -m tests.fuzz`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.module import SeededModule
from jojoscl.networks.paper.method import PaperJojoSCL
from jojoscl.networks.settings import Run, TrainerSettings

COUNTS = np.random.default_rng(0).poisson(1.0, (30, 20)) + np.eye(30, 20)
METHOD = PaperJojoSCL(encoder_dims=[8, 4], instance_dims=[4], cluster_dims=[4], sure="none")


# ---- files ---------------------------------------------------------------------------------------


def sparse_h5ad(path: Path) -> None:
    AnnData(sp.csr_matrix(COUNTS, dtype=np.float32)).write_h5ad(path)


def dense_h5ad(path: Path) -> None:
    AnnData(COUNTS).write_h5ad(path, compression="gzip")


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


def trained(folder: Path, n_epochs: int = 1) -> SeededModule:
    """Train, or go on from `folder`/last.ckpt where there is one."""
    x = np.random.default_rng(0).standard_normal((20, 6), dtype=np.float32)
    settings = TrainerSettings(accelerator="cpu", progress_bar=False, checkpoint_seconds=0)
    module = METHOD.module(6, 2, 20, seed=0, epochs=2)
    fit(
        module,
        CellDataModule(x),
        Run(folder, trainer=settings, config_hash="abc"),
        max_epochs=n_epochs,
    )
    return module


# ---- damage --------------------------------------------------------------------------------------


def flipped_or_cut(content: bytes, rng: np.random.Generator) -> bytes:
    """One bit flipped anywhere, or (of three, one) the end cut off there."""
    changed, at = bytearray(content), rng.integers(len(content))
    changed[at] ^= 1 << rng.integers(8)
    return bytes(changed[:at] if rng.random() < 0.3 else changed)


def stretches(path: Path) -> list[tuple[int, int]]:
    """Where in the file the values of each array lie. What lies between is HDF5's own, and its own to guard."""
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
    """A few bytes of the arrays changed, a stretch of zeros, or the end cut off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 10)):
        start, size = places[rng.integers(len(places))]
        changed[start + rng.integers(size)] = rng.integers(256)
    if rng.random() < 0.2:
        changed[start : start + size // 2] = bytes(size // 2)
    return bytes(changed[: rng.integers(len(content))] if rng.random() < 0.1 else changed)


def indices_changed(path: Path, rng: np.random.Generator) -> None:
    """Random numbers, small and huge, added in the arrays of a sparse matrix, or in a dense one."""
    with h5py.File(path, "r+") as file:
        node, name = _matrix(file), rng.choice(["indices", "indptr"])
        part = node[name] if isinstance(node, h5py.Group) else node
        values = part[()]
        places = rng.integers(0, values.size, 3)
        values.flat[places] += rng.choice([-(2**31), -1, 1, 3, 1000, 2**31 - 1], 3).astype(
            values.dtype
        )
        part[...] = values


def values_changed(path: Path, rng: np.random.Generator) -> None:
    """NaN, infinite, negative, huge or uneven values, or one of the arrays of the matrix too short."""
    with h5py.File(path, "r+") as file:
        node = _matrix(file)
        if isinstance(node, h5py.Group) and rng.random() < 0.4:
            name = rng.choice(list(node.keys() & {"data", "indices", "indptr"}))
            short = node[name][: -rng.integers(1, 9)]
            del node[name]
            node[name] = short
        else:
            part = node["data"] if isinstance(node, h5py.Group) else node
            values = part[()].astype(np.float64)
            values.flat[rng.integers(values.size)] = rng.choice([np.nan, np.inf, -3.0, 1e30, 0.5])
            with np.errstate(invalid="ignore"):
                part[...] = values.astype(part.dtype)


def _matrix(file: h5py.File) -> h5py.Group | h5py.Dataset:
    return file["X" if "X" in file else "exprs"]


# ---- processes -----------------------------------------------------------------------------------


def processes_with(mark: str) -> list[str]:
    """The live processes that have `mark` in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                mark.encode() in (path / "environ").read_bytes()
                and ") Z" not in (path / "stat").read_text()
            ):
                found.append(path.name)
    return found
