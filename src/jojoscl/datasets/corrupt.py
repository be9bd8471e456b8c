"""Cells made worse on purpose, to see what noise and fewer cells or counts do to a method."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import LABELS, check_cells
from jojoscl.cells.matrix import is_backed, stack_rows
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings, setting

log = logging.getLogger(__name__)

BAND_VALUES = 1 << 22  # noise is drawn in dense bands of about four million values


@dataclass(kw_only=True)
class Corrupt(Settings):
    """What is done to the cells, in this order; the defaults do nothing."""

    stratify: bool = setting(
        True,
        "Whether `subsample` takes the same share of every type, and at least one cell.",
        neutral=True,
    )
    subsample: float = setting(
        1.0, "Fraction of the cells that is kept.", low=1e-6, high=1, neutral=1.0
    )
    thin: float = setting(
        1.0, "Share of the depth: each count becomes binomial.", low=1e-6, high=1, neutral=1.0
    )
    dropout: float = setting(
        0.0, "Probability that a value becomes zero.", low=0, high=0.999999, neutral=0.0
    )
    gaussian: float = setting(0.0, "Noise (sd) added to log-normalised values.", low=0, neutral=0.0)

    def __call__(self, cells: AnnData, *, seed: int) -> AnnData:
        """Return new cells, or `cells` themselves (see :func:`~jojoscl.cells.checks.as_cells`) where nothing is to be done.

        The same seed gives the same cells; at a higher dropout more of the same values are lost,
        and a smaller subsample is part of a larger one. Cells that are left without counts are
        dropped. After `gaussian` the values are log-normalised ones: ``uns["kind"]`` is ``log1p``,
        and a method that models counts refuses them.
        """
        if not self.decisive():
            return cells
        if is_backed(cells.X):
            raise UserError(
                "corrupt changes cells in memory, and these stay in their file: take data.backed=false."
            )
        of_cells, of_counts, of_dropout, of_noise = (
            np.random.default_rng((seed, step)) for step in range(1, 5)
        )
        # By type, so that rare ones stay. That makes another set of cells to cluster: its labels
        # are no more told to the method than those of the whole set.
        by_type = self.stratify and LABELS in cells.obs
        types = np.asarray(cells.obs[LABELS].astype(str)) if by_type else np.zeros(cells.n_obs)
        cells = cells[subsample(types, self.subsample, of_cells)].copy()
        x = sp.csr_matrix(cells.X)
        if self.thin < 1:
            x = thin(x, self.thin, of_counts, kind=cells.uns["kind"])
        cells.X = drop_out(x, self.dropout, of_dropout)
        seen = np.asarray(cells.X.sum(axis=1)).ravel() > 0
        if not seen.all():
            log.warning("%d cells are left without counts: they are dropped", (~seen).sum())
            cells = cells[seen].copy()
        if self.gaussian > 0:
            cells.X = add_noise(log_normalised(cells), self.gaussian, of_noise)
            cells.uns["kind"] = "log1p"
        check_cells(cells)
        return cells


def subsample(types: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Return the indices, in order, of `fraction` of the cells of each type (n,), rounded, and at least one."""
    order = rng.permutation(len(types))
    shuffled = types[order]
    members = (order[shuffled == kind] for kind in np.unique(types))
    return np.sort(
        np.concatenate([cells[: max(1, round(fraction * len(cells)))] for cells in members])
    )


def thin(
    x: sp.csr_matrix, fraction: float, rng: np.random.Generator, *, kind: str = "counts"
) -> sp.csr_matrix:
    """Each count of x, rounded up as preprocessing does with RPKM, kept one by one with probability `fraction`."""
    if kind == "log1p":
        raise UserError(
            "corrupt.thin thins counts, and these are log-normalised values: take corrupt.dropout."
        )
    return _replaced(x, rng.binomial(np.ceil(x.data).astype(np.int64), fraction))


def drop_out(x: sp.csr_matrix, rate: float, rng: np.random.Generator) -> sp.csr_matrix:
    """Each value of x that is not zero becomes zero with probability `rate`."""
    return _replaced(x, np.where(rng.random(x.nnz) < rate, 0, x.data))


def log_normalised(cells: AnnData) -> sp.csr_matrix:
    """log(1 + x) of the values rounded up and divided by size factors, as the released preprocessing does it."""
    import scanpy as sc  # slow to import: not before it is needed

    if cells.uns["kind"] == "log1p":
        return cells.X
    normalised = AnnData(X=_replaced(cells.X, np.ceil(cells.X.data)))
    sc.pp.normalize_total(normalised)
    return sp.csr_matrix(sc.pp.log1p(normalised.X))


def add_noise(x: sp.csr_matrix, sd: float, rng: np.random.Generator) -> sp.csr_matrix:
    """max(0, x + noise): about half of what was zero no longer is."""
    step = max(1, BAND_VALUES // x.shape[1])
    bands = (x[start : start + step].toarray() for start in range(0, x.shape[0], step))
    scale = np.float32(sd)
    return stack_rows(
        np.maximum(b + scale * rng.standard_normal(b.shape, dtype=np.float32), 0) for b in bands
    )


def _replaced(x: sp.csr_matrix, values: np.ndarray) -> sp.csr_matrix:
    """Return a new matrix with other values at the same places, those that are zero left out."""
    result = x.copy()
    result.data = values.astype(np.float32)
    result.eliminate_zeros()
    return result
