"""The former preprocessing, until the networks ask an Expression; then this file goes.

A matrix in memory and one in its file go the same way, in bands of cells. The first pass checks the
values and takes totals and moments, the second gives the log-normalised values of the chosen genes
to a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import check_totals, check_values, samples_of
from jojoscl.cells.genes import Moments, robust_v3_genes, scanpy_genes, seurat_genes, varying
from jojoscl.cells.matrix import canonical, is_backed, row_chunks, stack_rows
from jojoscl.cells.preprocess import Preprocess
from jojoscl.cells.store import Store, write_store
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import temporary_folder


@contextmanager
def _enough_memory() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        words = "leave them in their file (data.backed=true), or lower dense_gib or n_top_genes of preprocess."
        raise UserError(f"There is not enough memory to preprocess these cells: {words}") from error


@_enough_memory()
def as_anndata(settings: Preprocess, adata: AnnData) -> AnnData:
    """Return what Preprocess returned before there was Expression; goes with the networks' move to it."""
    store = stored(settings, adata)
    var = adata.var.iloc[store.genes].copy()
    result = AnnData(X=store[:], obs=adata.obs.copy(), var=var, uns=dict(adata.uns))
    result.obs["size_factors"] = store.size_factors
    if not _is_logged(adata):
        result.layers["counts"] = stack_rows(_rounded(settings, adata, store.genes))
    return result


@_enough_memory()
def preprocessed(settings: Preprocess, adata: AnnData) -> np.ndarray | Store:
    """Return cells (n_cells, n_genes) as a network sees them: an array or, if large or in a file, a store.

    `adata` is as :func:`~jojoscl.cells.checks.as_cells` makes it, `cache` as for
    :class:`Preprocess`; a large store without a cache is in a folder of its own, deleted with it.
    Of values in a file this is where they are checked.
    """
    store = stored(settings, adata)
    large = 4 * store.shape[0] * store.shape[1] > settings.dense_gib * 2**30
    return store if large or is_backed(adata.X) else store[:]


@_enough_memory()
def stored(settings: Preprocess, adata: AnnData) -> Store:
    """Return the store of these cells."""
    return build(settings, adata, None)


def build(settings: Preprocess, adata: AnnData, folder: Path | None) -> Store:
    """Preprocess into `folder`; where that is None into memory or, if large, into a file that is deleted with it."""
    genes, counted, n_values, totals, unit = choose(settings, adata)
    small = 8 * n_values <= settings.dense_gib * 2**30
    with nullcontext(folder) if folder or small else temporary_folder() as place:
        return write_store(
            _normalised(settings, adata, genes, totals / unit, log=True),
            place,
            genes=genes,
            counted=counted,
            size_factors=totals / np.median(totals),
            unit=unit,
            scale=True,
            limit=_limit(settings),
        )


def choose(
    settings: Preprocess, adata: AnnData
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray, float]:
    """Return indices of the chosen genes and of those that totals count, how many entries the former have, and totals.

    Last the unit: a cell is divided by total / unit. The totals (n_cells,) of log-normalised values
    are 1.
    """
    n_top, flavor, logged = (
        settings.n_top_genes or adata.n_vars,
        settings.hvg_flavor,
        _is_logged(adata),
    )
    if flavor not in ("seurat", "robust_v3") and n_top < adata.n_vars and is_backed(adata.X):
        raise UserError(f"hvg_flavor={flavor} needs all cells in memory: take seurat or robust_v3.")
    if flavor != "robust_v3" and samples_of(adata) is not None:
        raise UserError("batch_key goes with genes by hvg_flavor=robust_v3: leave out hvg_flavor.")
    genes, totals, seen, mean, variance = _without_rare(settings, adata)
    totals = np.ones_like(totals) if logged else totals
    unit = 1.0 if logged else settings.target_sum or np.median(totals)
    mean, variance = unit * mean, unit**2 * variance
    varies = varying(mean, variance)
    if n_top >= len(genes):
        chosen = np.flatnonzero(varies)
    elif flavor == "seurat":
        chosen = seurat_genes(mean, variance, n_top)
    elif flavor == "robust_v3":
        bands = partial(_counts, settings, adata, genes)
        chosen = robust_v3_genes(bands, len(genes), n_top, samples_of(adata))
    elif logged:
        raise UserError(
            "hvg_flavor=seurat_v3 needs counts, and these are log-normalised values: take seurat."
        )
    else:
        chosen = scanpy_genes(stack_rows(_rounded(settings, adata, genes)), n_top, flavor)
    chosen = chosen[varies[chosen]]
    return genes[chosen], genes, int(seen[chosen].sum()), totals, float(unit)


def _without_rare(settings: Preprocess, adata: AnnData) -> tuple[np.ndarray, ...]:
    """Return indices of the genes that are not too rare, and what :func:`_look` says of them."""
    totals, *moments = _look(settings, adata, np.arange(adata.n_vars))
    check_totals(totals, adata.obs_names)
    seen = moments[0]
    genes = np.flatnonzero(seen >= settings.min_cells)
    if len(genes) == 0:
        raise UserError(f"No gene is seen in {settings.min_cells} cells or more: lower min_cells.")
    if seen.sum() == seen[genes].sum():
        return genes, totals, *(part[genes] for part in moments)
    totals, *moments = _look(
        settings, adata, genes
    )  # the totals are others, and with them the moments
    return genes, np.where(totals > 0, totals, 1), *moments


def _limit(settings: Preprocess) -> np.ndarray:
    return np.array(settings.max_value or np.inf, np.float32)


def _look(settings: Preprocess, adata: AnnData, genes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return totals (n_cells,) over these genes; by gene the cells it is seen in, mean and variance.

    Mean and variance are of the shares of a cell's total, or of the normalised values whose
    logarithms are given.
    """
    totals, moments = [], Moments(len(genes))
    for band in _rounded(settings, adata, genes):
        totals.append(band @ np.ones(len(genes)))
        x = band.data.astype(np.float64)
        moments.add(band, np.expm1(x) if _is_logged(adata) else x / _by_entry(totals[-1], band))
    in_all = np.concatenate(totals).astype(np.float32)
    return in_all, moments.seen, *moments.mean_variance()


def _rounded(settings: Preprocess, adata: AnnData, genes: np.ndarray) -> Iterator[sp.csr_matrix]:
    """Yield the counts of some of the genes, checked, in bands of cells."""
    for band in row_chunks(adata.X):
        check_values(band.data, adata.uns["kind"])
        band = band if len(genes) == adata.n_vars else band[:, genes]
        if settings.round_counts and not _is_logged(adata):
            band.data = np.ceil(band.data)
        band.eliminate_zeros()
        yield band


def _counts(settings: Preprocess, adata: AnnData, genes: np.ndarray) -> Iterator[sp.csr_matrix]:
    return map(_as_counts(adata), _rounded(settings, adata, genes))


def _normalised(
    settings: Preprocess, adata: AnnData, genes: np.ndarray, factors: np.ndarray, *, log: bool
) -> Iterator[sp.csr_matrix]:
    """Yield counts divided by `factors` (n_cells,), or their logarithms; log-normalised values stay as they are."""
    start = 0
    for band in _rounded(settings, adata, genes):
        if not _is_logged(adata):
            x = band.data / _by_entry(factors[start : start + band.shape[0]], band)
            band.data = np.log1p(x) if log else x
        start += band.shape[0]
        yield band


def project(
    settings: Preprocess,
    adata: AnnData,
    weights: np.ndarray,
    *,
    genes: np.ndarray,
    counted: np.ndarray,
    unit: float,
    scale: np.ndarray,
) -> np.ndarray:
    """Return z-scores times `weights` (n_genes, d) of cells preprocessed as those of a store: (n_cells, d) float32.

    Parameters
    ----------
    genes, counted
        Indices in `adata` of the store's genes (n_genes,), -1 where there is none: its z-score is
        0; and, rising, of those that a total counts.
    unit, scale
        Those of the :class:`~jojoscl.cells.store.Store`.
    """
    there = np.flatnonzero(genes >= 0)
    weights = np.where(genes[:, None] >= 0, weights, 0).astype(np.float32)
    columns = np.searchsorted(counted, genes[there])
    h = []
    for band in _rounded(settings, adata, counted):
        if not _is_logged(adata):
            totals = (band @ np.ones(len(counted))).astype(np.float32)
            band.data /= _by_entry(np.where(totals > 0, totals, 1) / unit, band)
            band.data = np.log1p(band.data)
        kept = band[:, columns].sorted_indices()
        rest = {"indptr": kept.indptr.astype(np.int64), "scale": scale, "limit": _limit(settings)}
        told = {
            "genes": genes,
            "counted": counted,
            "unit": np.array(unit),
            "size_factors": np.empty(0),
        }
        h.append(Store(kept.data, there[kept.indices], **rest, **told) @ weights)
    return np.concatenate(h)


def counts_of(settings: Preprocess, adata: AnnData, index: np.ndarray) -> sp.csr_matrix:
    """Return the counts (m, n_vars) of the cells `index` (m,), in rising order; of log-normalised cells the values."""
    x = adata.X[index] if len(index) < adata.n_obs else adata.X[:]
    counts = canonical(sp.csr_matrix(x, dtype=np.float32)).copy()
    if settings.round_counts and not _is_logged(adata):
        counts.data = np.ceil(counts.data)
    return _as_counts(adata)(counts)


def _as_counts(adata: AnnData) -> Callable[[sp.csr_matrix], sp.csr_matrix]:
    """Return what makes counts of a band's values: nothing, or the inverse of log1p."""
    return (lambda band: band.expm1()) if _is_logged(adata) else (lambda band: band)


def _by_entry(of_cells: np.ndarray, band: sp.csr_matrix) -> np.ndarray:
    """Repeat a number of each cell (B,) for each of its entries, (nnz,)."""
    return np.repeat(of_cells, np.diff(band.indptr))


def _is_logged(adata: AnnData) -> bool:
    return bool(adata.uns["kind"] == "log1p")
