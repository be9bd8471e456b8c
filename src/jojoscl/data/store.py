"""Cells that do not fit in memory as a dense matrix: preprocessed in two passes into a memory-mapped CSR.

The first pass checks the values and takes the totals of the cells and the moments of the genes, the second writes the
log-normalised values of the variable genes. Z-scores are made of the cells that are asked for, where they are used.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from anndata import AnnData
from torch import Tensor

from jojoscl.data.cells import check_totals, check_values
from jojoscl.data.io.matrix import is_backed, row_chunks
from jojoscl.data.preprocess import Preprocess, check_varying, seurat_genes, usable
from jojoscl.utils.devices import sent
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_folder

_BAND = 4096  # cells


class SparseRows(NamedTuple):
    """B cells on their way to a device: CSR of log-normalised values, and how their z-scores are made.

    values (nnz,), columns (nnz,), indptr (B + 1,); scale (3, n_genes): mean, sd, and what is taken from the clipped
    z-score; limit (): where it is clipped.
    """

    values: Tensor
    columns: Tensor
    indptr: Tensor
    scale: Tensor
    limit: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(B, n_genes)."""
        return len(self.indptr) - 1, self.scale.shape[1]

    def background(self) -> Tensor:
        """The z-score (n_genes,) of a value of 0."""
        return self._z(torch.zeros_like(self.scale[0]), slice(None))

    def differences(self) -> Tensor:
        """The z-score of each entry minus that of a 0 of its gene, (nnz,)."""
        columns = self.columns.long()
        return self._z(self.values, columns) - self.background()[columns]

    def dense(self) -> Tensor:
        """Z-scores (B, n_genes)."""
        n_cells, n_genes = self.shape
        x, columns = self.background().repeat(n_cells, 1), self.columns.long()
        cells = torch.arange(n_cells, device=x.device)
        rows = cells.repeat_interleave(self.indptr.diff(), output_size=len(columns))  # told, a GPU need not stop
        x.view(-1)[rows * n_genes + columns] = self._z(self.values, columns)
        return x

    def _z(self, values: Tensor, columns: Any) -> Tensor:
        mean, sd, centre = self.scale[:, columns]
        return ((values - mean) / sd).clamp(-self.limit, self.limit) - centre


class Store:
    """Preprocessed cells in a folder, by rows: an index gives z-scores (n, n_genes), ``@`` streams through all cells.

    `rows` gathers any cells in any order as :class:`SparseRows`. `genes` (n_genes,) are the indices of the chosen
    genes, `size_factors` (n_cells,) total / median total.
    """

    def __init__(self, folder: Path) -> None:
        self.values, self.columns = (  # "c": torch has no tensors that cannot be written to, and no file is changed
            torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ("values", "columns")
        )
        self.genes, self.size_factors, indptr, scale, limit = (
            np.load(folder / f"{name}.npy") for name in ("genes", "size_factors", "indptr", "scale", "limit")
        )
        self.indptr, self.scale, self.limit = map(torch.from_numpy, (indptr, scale, limit))
        self.shape = len(self.indptr) - 1, len(self.genes)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Of what :meth:`to` moves."""
        return self.values.nbytes + self.columns.nbytes

    def to(self, device: torch.device | str) -> Store:
        """The same with its values on a device, where `rows` then gathers them; where each row begins stays here."""
        moved = copy.copy(self)
        moved.values, moved.columns, moved.scale, moved.limit = (
            part.to(device) for part in (self.values, self.columns, self.scale, self.limit)
        )
        return moved

    def rows(self, index: Tensor | np.ndarray) -> SparseRows:
        """The cells of `index` (B,), which is on the CPU, in its order."""
        index, device = torch.as_tensor(index), self.values.device
        start = self.indptr[index]
        length = self.indptr[index + 1] - start
        indptr = torch.nn.functional.pad(length.cumsum(0), (1, 0))
        n_values = int(indptr[-1])  # told, a GPU need not be waited for
        first = sent(start - indptr[:-1], device)
        entry = first.repeat_interleave(sent(length, device), output_size=n_values)
        entry += torch.arange(n_values, device=device)
        return SparseRows(self.values[entry], self.columns[entry], sent(indptr, device), self.scale, self.limit)

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        return self.rows(np.arange(len(self))[index]).dense().numpy()

    def __matmul__(self, weights: np.ndarray) -> np.ndarray:
        """Z-scores times weights (n_genes, d): (n_cells, d) float32."""
        result = np.empty((len(self), weights.shape[1]), np.float32)
        for start, band in self._differences():
            result[start : start + band.shape[0]] = band @ weights
        result += self.background @ weights
        return result

    @property
    def background(self) -> np.ndarray:
        """Z-score of a value of 0, (n_genes,)."""
        return self.rows(np.arange(0)).background().numpy()

    def centred(self) -> Store:
        """The same with mean 0 for each gene."""
        moved = copy.copy(self)
        total = sum(np.asarray(band.sum(0), np.float64).ravel() for _, band in self._differences())
        mean = self.background + total / len(self)
        moved.scale = self.scale + torch.from_numpy(np.stack([0 * mean, 0 * mean, mean]).astype(np.float32))
        return moved

    def _differences(self) -> Iterator[tuple[int, sp.csr_matrix]]:
        """First cell and differences (cells, n_genes) of bands of cells, in order."""
        for start in range(0, len(self), _BAND):
            rows = self.rows(np.arange(start, min(start + _BAND, len(self))))
            parts = (rows.differences().numpy(), rows.columns.numpy().astype(np.int32), rows.indptr.numpy())
            yield start, sp.csr_matrix(parts, shape=rows.shape)


def centred(x: np.ndarray | Store) -> np.ndarray | Store:
    """Preprocessed cells with mean 0 for each gene: clipping moved the means."""
    return x.centred() if isinstance(x, Store) else x - x.mean(0)


def preprocessed(settings: Preprocess, adata: AnnData, cache: Path | None) -> np.ndarray | Store:
    """Cells (n_cells, n_genes) as a network sees them: an array or, if that is large or they are in a file, a store.

    Parameters
    ----------
    adata
        As :func:`~jojoscl.data.as_cells` makes it.
    cache
        As for :class:`Preprocess`; a store without a cache is in a folder of its own, deleted with it.

    Raises
    ------
    UserError
        As :class:`Preprocess`; what :func:`~jojoscl.data.check_cells` says of values that stay in a file; or such
        cells with another rule for genes than ``seurat``.
    """
    n_genes = min(settings.n_top_genes or adata.n_vars, adata.n_vars)
    streams = settings.hvg_flavor == "seurat" or n_genes == adata.n_vars
    if is_backed(adata.X):
        if not streams:
            raise UserError(f"hvg_flavor={settings.hvg_flavor} needs all cells in memory: take seurat.")
    elif not streams or 4 * adata.n_obs * n_genes <= settings.dense_gib * 2**30:
        return np.asarray(settings.apply(adata, cache).X)
    return stored(settings, adata, cache)


def stored(settings: Preprocess, adata: AnnData, cache: Path | None) -> Store:
    """The store of these cells, from the folder `cache` where an earlier call left it there."""
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="jojoscl-") as folder:
            write_store(settings, adata, Path(folder))
            return Store(Path(folder))  # the files are gone, what is mapped stays
    path = usable(Path(cache)) / f"store-{settings.key(adata)}"
    if not path.exists():
        with whole_folder(path) as temporary:
            write_store(settings, adata, temporary)
    try:
        return Store(path)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged: delete it.") from error


def write_store(settings: Preprocess, adata: AnnData, folder: Path) -> None:
    """Fill `folder` with what :class:`Store` reads."""
    genes, totals, n_values = variable_genes(settings, adata)
    n_cells, n_genes = adata.n_obs, len(genes)
    logged = adata.uns["kind"] == "log1p"
    factors = np.ones(n_cells) if logged else totals / (settings.target_sum or np.median(totals[totals > 0]))
    kind = np.int16 if n_genes <= np.iinfo(np.int16).max else np.int32  # both are torch's
    sums, lengths = np.zeros((2, n_genes)), [np.zeros(1, np.int64)]
    with (
        _npy(folder / "values.npy", np.float32, n_values) as values,
        _npy(folder / "columns.npy", kind, n_values) as columns,
    ):
        for start, band in _bands(settings, adata, genes):
            lengths.append(np.diff(band.indptr))
            x = band.data / np.repeat(factors[start : start + band.shape[0]], lengths[-1])
            x = (np.log1p(x) if settings.log1p and not logged else x).astype(np.float32)
            sums += _sums(band, x.astype(np.float64))
            values.write(x.tobytes())
            columns.write(band.indices.astype(kind).tobytes())
    mean, variance = _mean_variance(sums, n_cells)
    if not settings.scale:
        mean, variance = np.zeros(n_genes), np.ones(n_genes)
    parts = {
        "indptr": np.cumsum(np.concatenate(lengths), dtype=np.int64),
        "genes": genes,
        "size_factors": (factors / np.median(factors)).astype(np.float32),
        "scale": np.stack([mean, np.sqrt(variance), np.zeros(n_genes)]).astype(np.float32),
        "limit": np.float32(settings.max_value if settings.scale and settings.max_value else np.inf),
    }
    for name, part in parts.items():
        np.save(folder / f"{name}.npy", part)


def variable_genes(settings: Preprocess, adata: AnnData) -> tuple[np.ndarray, np.ndarray, int]:
    """Indices of the chosen genes, totals (n_cells,) over genes that are not too rare, and entries of the chosen."""
    every = np.arange(adata.n_vars)
    totals, seen, mean, variance = _moments(settings, adata, every)
    check_totals(totals, adata.obs_names)
    genes = np.flatnonzero(seen >= settings.min_cells)
    if len(genes) == 0:
        raise UserError(f"No gene is seen in {settings.min_cells} cells or more: lower min_cells.")
    if seen.sum() > seen[genes].sum():  # rare genes do not count: the totals are others, and with them the moments
        totals, seen, mean, variance = _moments(settings, adata, genes)
        totals[totals == 0] = 1.0
    else:
        seen, mean, variance = seen[genes], mean[genes], variance[genes]
    varies, n_top = check_varying(mean, variance), settings.n_top_genes
    chosen = np.arange(len(genes)) if n_top is None or n_top >= len(genes) else seurat_genes(mean, variance, n_top)
    chosen = chosen[varies[chosen]]
    return genes[chosen], totals, int(seen[chosen].sum())


def _moments(settings: Preprocess, adata: AnnData, genes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Totals (n_cells,); cells that each gene is seen in, mean and variance of its normalised values, (n_genes,)."""
    totals, seen, sums = np.zeros(adata.n_obs), np.zeros(len(genes)), np.zeros((2, len(genes)))
    logged = adata.uns["kind"] == "log1p"
    for start, band in _bands(settings, adata, genes):
        of_band = np.asarray(band.sum(1), np.float64).ravel()
        totals[start : start + len(of_band)] = of_band
        x = np.expm1(band.data) if logged else band.data / np.repeat(of_band, np.diff(band.indptr))
        seen += np.bincount(band.indices, minlength=len(genes))
        sums += _sums(band, x)
    target = 1.0 if logged else settings.target_sum or np.median(totals[totals > 0])
    mean, variance = _mean_variance(sums, adata.n_obs)
    return totals, seen, target * mean, target**2 * variance


def _bands(settings: Preprocess, adata: AnnData, genes: np.ndarray) -> Iterator[tuple[int, sp.csr_matrix]]:
    """First cell and values, checked and in double precision, of bands of cells; of some of the genes."""
    start, kind = 0, adata.uns["kind"]
    for band in row_chunks(adata.X):
        check_values(band.data, kind)
        band = (band if len(genes) == adata.n_vars else band[:, genes]).astype(np.float64)
        if settings.round_counts and kind != "log1p":
            band.data = np.ceil(band.data)
        band.eliminate_zeros()
        yield start, band
        start += band.shape[0]


def _sums(band: sp.csr_matrix, x: np.ndarray) -> np.ndarray:
    """Sums of x and of its squares by gene, (2, n_genes), where x are values for the entries of `band`."""
    return np.stack([np.bincount(band.indices, x**power, band.shape[1]) for power in (1, 2)])


def _mean_variance(sums: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    mean = sums[0] / n
    return mean, np.maximum(sums[1] / n - mean**2, 0) * (n / (n - 1))


@contextmanager
def _npy(path: Path, kind: Any, length: int) -> Iterator[BinaryIO]:
    """A file whose content, written bit by bit, is an array of this type and length."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": (length,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield file
