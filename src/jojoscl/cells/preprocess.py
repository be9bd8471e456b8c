"""From counts to the matrix that a method asks: genes that vary, log-normalised, z-scored.

Cells in memory and in a file go the same way, in bands: no pass needs all of a file.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import check_totals, samples_of
from jojoscl.cells.expression import Expression
from jojoscl.cells.genes import mean_variance, robust_v3_genes, seurat_genes, seurat_v3_genes
from jojoscl.cells.matrix import check_values, is_backed, row_chunks, stack_rows
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings, setting


@dataclass(kw_only=True)
class Preprocess(Settings):
    """The steps from counts to an Expression; the defaults are those of the released code.

    round up -> drop genes seen in fewer than `min_cells` cells -> divide by totals -> log1p ->
    highly variable genes -> z-score per gene. Log-normalised values (``uns["kind"] == "log1p"``)
    enter at the choice of genes. Genes that do not vary are dropped, cells never are.
    """

    round_counts: bool = setting(True, "Round RPKM up, if half of those above 0 are at least 1.")
    min_cells: int = setting(1, "A gene seen in fewer cells is dropped.", low=0)
    target_sum: float | None = setting(None, "Normalised total of a cell; None: the median.", low=1)
    n_top_genes: int | None = setting(2000, "How many variable genes are kept; None: all.", low=1)
    hvg_flavor: str = setting(
        "seurat",
        "Scanpy's rule to choose them; robust_v3 is ours, like seurat_v3 with a trend of medians.",
        values=("seurat", "seurat_v3", "robust_v3"),
    )
    max_value: float | None = setting(None, "Limit of z-scores; None does not clip.", low=0)
    dense_gib: float = setting(0.5, "A larger matrix (GiB) of the genes stays in a file.", low=0)

    def decisive(self) -> dict[str, object]:
        """Return the settings that decide a result, with two former ones: runs keep their names."""
        return super().decisive() | {"log1p": True, "scale": True}

    def __call__(self, cells: AnnData) -> Expression:
        """Preprocess checked cells (:func:`~jojoscl.cells.checks.as_cells`), in their order.

        In the first pass over a file its cells are checked. A :class:`UserError` says that no gene
        is left.
        """
        kind, samples = str(cells.uns["kind"]), samples_of(cells)
        if self.hvg_flavor != "robust_v3" and samples is not None:
            raise UserError("batch_key goes with hvg_flavor=robust_v3: leave out hvg_flavor.")
        rounded = self.round_counts and kind == "rpkm" and half_reach_one(cells)
        seen, of_bands = np.zeros(cells.n_vars, np.int64), []
        for band in bands(cells, None, rounded):
            seen += np.bincount(band.indices, minlength=cells.n_vars)
            counts = band.expm1() if kind == "log1p" else band
            of_bands.append(np.asarray(counts.sum(1)).ravel())
        totals = np.concatenate(of_bands)  # (n,)
        check_totals(totals, cells.obs_names)
        counted = np.flatnonzero(seen >= self.min_cells)  # (c,) genes that are not too rare
        if len(counted) == 0:
            raise UserError(f"No gene is seen in {self.min_cells} cells or more: lower min_cells.")
        sizes, mean, variance = of_shares(bands(cells, counted, rounded), undo=kind == "log1p")
        unit = 1.0 if kind == "log1p" else float(self.target_sum or np.median(sizes))
        mean, variance = unit * mean, unit**2 * variance
        varies = variance > 1e-9 * mean**2  # with room for rounding
        if not varies.any():
            raise UserError("No gene is left that varies between cells: give cells that differ.")
        chosen = self._chosen(partial(bands, cells, counted, rounded), cells, mean, variance)
        genes = counted[chosen[varies[chosen]]]
        n_entries = int(seen[genes].sum())
        return Expression(
            gathered(bands(cells, genes, rounded), n_entries, self.dense_gib * 2**30),
            kind,
            totals.astype(np.float32),
            sizes,
            unit,
            genes,
            counted,
            np.asarray(cells.var_names[counted]),
            profile=mean,
            limit=self.max_value or np.inf,
            samples=samples,
            rounded=rounded,
        )

    def _chosen(
        self,
        read: Callable[[], Iterator[sp.csr_matrix]],
        cells: AnnData,
        mean: np.ndarray,
        variance: np.ndarray,
    ) -> np.ndarray:
        """Return the indices of the highly variable genes among those that `read` gives.

        `mean` and `variance` (c,) are those of normalised counts.
        """
        logged, n_top = cells.uns["kind"] == "log1p", self.n_top_genes
        if n_top is None or n_top >= len(mean):
            return np.arange(len(mean))
        if self.hvg_flavor == "seurat":
            return seurat_genes(mean, variance, n_top)
        if self.hvg_flavor == "robust_v3":
            counts = (lambda: (band.expm1() for band in read())) if logged else read
            return robust_v3_genes(counts, (cells.n_obs, len(mean)), n_top, samples_of(cells))
        if is_backed(cells.X) or logged:
            raise UserError("hvg_flavor=seurat_v3 needs counts, in memory: take robust_v3.")
        return seurat_v3_genes(stack_rows(read()), n_top)


SCANPY = Preprocess(min_cells=3, target_sum=1e4, max_value=10.0)
"""As scanpy's tutorials do it."""


def bands(cells: AnnData, genes: np.ndarray | None, rounded: bool) -> Iterator[sp.csr_matrix]:
    """Yield the values of some genes, or of all (None), in bands of cells.

    Values in a file are checked here. With `rounded` values are rounded up.
    """
    for x in row_chunks(cells.X):
        if is_backed(cells.X):
            check_values(x.data, cells.uns["kind"])
            if cells.uns["kind"] == "counts":
                x.data = np.rint(x.data)  # which are whole up to rounding
        band = x if genes is None else x[:, genes]
        if rounded:
            band.data = rounded_up(band.data)
        band.eliminate_zeros()
        yield band


def half_reach_one(cells: AnnData) -> bool:
    """Return whether half of the values above 0 are at least 1.

    If not, such as proportions and counts by volume, rounded up they would all become 1.
    """
    values = (next(row_chunks(cells.X)) if is_backed(cells.X) else cells.X).data
    return bool(np.median(values[values > 0]) >= 1)


def rounded_up(x: np.ndarray) -> np.ndarray:
    """Return x rounded up; what is whole up to its last bits stays: 6.0000005 is 6."""
    nearest = np.rint(x)
    return np.where(np.abs(x - nearest) <= 2 * np.spacing(x), nearest, np.ceil(x))


def of_shares(
    parts: Iterable[sp.csr_matrix], *, undo: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums (n,) float32 of cells; by gene mean and variance of the shares of a sum.

    With `undo` the values are logarithms, and the moments are those of exp(x) - 1.
    """
    totals = []

    def shares() -> Iterator[sp.csr_matrix]:
        for band in parts:
            x = band.astype(np.float64)
            x = x.expm1() if undo else x
            total = np.asarray(x.sum(1)).ravel()
            totals.append(np.where(total > 0, total, 1).astype(np.float32))
            x.data = x.data if undo else x.data / np.repeat(totals[-1], np.diff(x.indptr))
            yield x

    mean, variance = mean_variance(shares())
    return np.concatenate(totals), mean, variance


def gathered(parts: Iterable[sp.csr_matrix], n_entries: int, largest: float) -> sp.csr_matrix:
    """Return bands of cells as one matrix, mapped from a file above `largest` bytes."""
    if 8 * n_entries <= largest:
        return sp.vstack(list(parts), format="csr")
    index_type, lengths = np.int32 if n_entries < 2**31 else np.int64, [np.zeros(1, np.int64)]
    # deleted here; the system keeps what is mapped
    with TemporaryDirectory(prefix="jojoscl-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / "x").open("wb") as values, (folder / "genes").open("wb") as genes:
            for band in parts:
                lengths.append(np.diff(band.indptr))
                values.write(band.data)
                genes.write(band.indices.astype(index_type))
        x = np.memmap(folder / "x", np.float32, "r")
        of_entry = np.memmap(folder / "genes", index_type, "r")
    indptr = np.cumsum(np.concatenate(lengths)).astype(index_type)
    return sp.csr_matrix((x, of_entry, indptr), (len(indptr) - 1, band.shape[1]))
