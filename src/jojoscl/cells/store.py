"""Preprocessed cells by rows, sparse, in memory or mapped from a folder; z-scores are made where they are used."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from jojoscl.cells.genes import Moments
from jojoscl.utils.devices import sent
from jojoscl.utils.files import digest

_BAND = 4096  # cells
_VALUES, _COLUMNS, _REST, _DIGESTS = "values.bin", "columns.bin", "rest.npz", "digests.json"


class SparseRows(NamedTuple):
    """B cells on their way to a device: CSR of log-normalised values, and how their z-scores are made.

    values (nnz,), columns (nnz,), indptr (B + 1,); scale (2, n_genes): mean and sd, in double
    precision where the device has it; limit (): where z-scores are clipped.
    """

    values: Tensor
    columns: Tensor
    indptr: Tensor
    scale: Tensor
    limit: Tensor

    def to(self, device: torch.device | str, **_: object) -> SparseRows:
        """Return the same on a device; Lightning calls it."""
        moved: SparseRows = sent(self, device)
        return moved

    @property
    def shape(self) -> tuple[int, int]:
        """Return (B, n_genes)."""
        return len(self.indptr) - 1, self.scale.shape[1]

    def background(self) -> Tensor:
        """Return the z-score (n_genes,) of a value of 0."""
        return self._z(torch.zeros_like(self.scale[0]), slice(None))

    def differences(self) -> Tensor:
        """Return the z-score of each entry minus that of a 0 of its gene, (nnz,)."""
        columns = self.columns.long()
        return self._z(self.values, columns) - self.background()[columns]

    def dense(self) -> Tensor:
        """Return z-scores (B, n_genes)."""
        n_cells, n_genes = self.shape
        x, columns = self.background().repeat(n_cells, 1), self.columns.long()
        cells = torch.arange(n_cells, device=x.device)
        rows = cells.repeat_interleave(
            self.indptr.diff(), output_size=len(columns)
        )  # told, a GPU need not stop
        x.view(-1)[rows * n_genes + columns] = self._z(self.values, columns)
        return x

    def _z(self, values: Tensor, columns: Tensor | slice) -> Tensor:
        mean, sd = self.scale[:, columns]
        return (
            ((values - mean).float() / sd).float().clamp(-self.limit, self.limit)
        )  # rounded where scanpy rounds


class Store:
    """Preprocessed cells in a folder, by rows: an index gives z-scores (n, n_genes), ``@`` streams through all cells.

    `rows` gathers any cells in any order as :class:`SparseRows`. `genes` (n_genes,) are the indices
    of the chosen genes, `size_factors` (n_cells,) total / median total. A total counts the genes
    `counted` (c,), and the values are per total / `unit`.
    """

    def __init__(self, values: np.ndarray, columns: np.ndarray, **rest: np.ndarray) -> None:
        self.genes, self.size_factors = rest["genes"], rest["size_factors"]
        self.counted, self.unit = rest["counted"], float(rest["unit"])
        parts = (values, columns, rest["indptr"], rest["scale"], rest["limit"])
        self.values, self.columns, self.indptr, self.scale, self.limit = map(
            torch.from_numpy, parts
        )
        self.shape = len(self.indptr) - 1, len(self.genes)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Return what :func:`write_store` left in `folder`; its values stay there."""
        with np.load(folder / _REST) as file:
            rest = dict(file)
        kinds = {_VALUES: np.dtype(np.float32), _COLUMNS: _column_type(len(rest["genes"]))}
        # "c": torch has no tensors that cannot be written to, and no file is changed
        return cls(*(np.memmap(folder / name, kind, "c") for name, kind in kinds.items()), **rest)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Return the bytes of what :meth:`to` moves."""
        return self.values.nbytes + self.columns.nbytes

    def to(self, device: torch.device | str) -> Store:
        """Return the same with its values on a device; where each row begins stays here."""
        moved = copy.copy(self)
        moved.values, moved.columns, moved.scale, moved.limit = (
            part.to(device) for part in (self.values, self.columns, self.scale, self.limit)
        )
        return moved

    def rows(self, index: Tensor | np.ndarray) -> SparseRows:
        """Return the cells of `index` (B,), which is on the CPU, in its order."""
        index, device = torch.as_tensor(index), self.values.device
        start = self.indptr[index]
        length = self.indptr[index + 1] - start
        indptr = torch.nn.functional.pad(length.cumsum(0), (1, 0))
        n_values = int(indptr[-1])  # told, a GPU need not be waited for
        first = sent(start - indptr[:-1], device)
        entry = first.repeat_interleave(sent(length, device), output_size=n_values)
        entry += torch.arange(n_values, device=device)
        return SparseRows(
            self.values[entry], self.columns[entry], sent(indptr, device), self.scale, self.limit
        )

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        index = np.arange(len(self))[index]
        x = np.empty((len(index), self.shape[1]), np.float32)
        for start in range(0, len(index), _BAND):
            x[start : start + _BAND] = self.rows(index[start : start + _BAND]).dense()
        return x

    def __matmul__(self, weights: np.ndarray) -> np.ndarray:
        """Return z-scores times weights (n_genes, d): (n_cells, d) float32."""
        result = np.empty((len(self), weights.shape[1]), np.float32)
        result[:] = self.rows(np.arange(0)).background().numpy() @ weights
        for start in range(0, len(self), _BAND):
            rows = self.rows(np.arange(start, min(start + _BAND, len(self))))
            parts = (
                rows.differences().numpy(),
                rows.columns.numpy().astype(np.int32),
                rows.indptr.numpy(),
            )
            result[start : start + _BAND] += sp.csr_matrix(parts, shape=rows.shape) @ weights
        return result


def write_store(
    bands: Iterable[sp.csr_matrix],
    folder: Path | None,
    *,
    genes: np.ndarray,
    counted: np.ndarray,
    size_factors: np.ndarray,
    unit: float,
    scale: bool,
    limit: np.ndarray,
) -> Store:
    """Fill `folder`, or memory where it is None, with bands of log-normalised values of the chosen genes."""
    moments, lengths, kind = Moments(len(genes)), [np.zeros(1, np.int64)], _column_type(len(genes))
    parts: tuple[list[np.ndarray], ...] = ([], [])
    with ExitStack() as files:
        names = (_VALUES, _COLUMNS)
        handles = (
            [files.enter_context((folder / name).open("wb")) for name in names] if folder else []
        )
        for band in bands:
            lengths.append(np.diff(band.indptr))
            moments.add(band, band.data)
            for i, part in enumerate((band.data, band.indices.astype(kind))):
                if folder:
                    handles[i].write(part)
                else:
                    parts[i].append(part)
    mean, variance = (
        moments.mean_variance() if scale else (np.zeros(len(genes)), np.ones(len(genes)))
    )
    rest: dict[str, Any] = {
        "indptr": np.cumsum(np.concatenate(lengths), dtype=np.int64),
        "genes": genes,
        "counted": counted,
        "unit": np.array(unit, np.float64),
        "size_factors": size_factors.astype(np.float32),
        "scale": np.stack([mean, np.sqrt(variance)]),
        "limit": limit,
    }
    if folder is None:
        return Store(*map(np.concatenate, parts), **rest)
    np.savez(folder / _REST, **rest)
    (folder / _DIGESTS).write_text(json.dumps(_digests(folder)))
    return Store.open(folder)


def intact_store(folder: Path) -> Store | None:
    """Return the store in `folder` if each byte of it is as it was written; None otherwise, or where there is none."""
    try:
        told = json.loads((folder / _DIGESTS).read_text())
        return Store.open(folder) if told == _digests(folder) else None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _digests(folder: Path) -> dict[str, str]:
    return {name: digest(folder / name) for name in (_VALUES, _COLUMNS, _REST)}


def _column_type(n_genes: int) -> np.dtype[np.signedinteger]:
    return np.dtype(np.int16 if n_genes <= np.iinfo(np.int16).max else np.int32)  # both are torch's
