"""Cells made worse on purpose, to see what noise and fewer cells or counts do to a method."""

import logging
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import LABELS, check_cells
from jojoscl.cells.matrix import is_backed, row_chunks, stack_rows
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings, setting

log = logging.getLogger(__name__)

MOST_OF_FIRST = 1000  # cells of the first type that `uneven` keeps at most
FEWEST_OF_TYPE = 10  # cells of each type that it keeps at least, where there are as many
LAST_STEP = 4  # from the fifth type on, the size no longer falls


@dataclass(kw_only=True)
class Corrupt(Settings):
    """What is done to the cells, in this order; the defaults do nothing."""

    uneven: float = setting(
        1.0, "Types keep about 1, 1/f, 1/f^2 ... of the first; it needs types.", low=1, neutral=1.0
    )
    stratify: bool = setting(True, "Whether `subsample` keeps the shares of types.", neutral=True)
    subsample: float = setting(1.0, "Share of the cells kept.", low=1e-6, high=1, neutral=1.0)
    thin: float = setting(1.0, "Share of each count kept, binomial.", low=1e-6, high=1, neutral=1.0)
    dropout: float = setting(0.0, "Share of values made zero.", low=0, high=0.999999, neutral=0.0)
    gaussian: float = setting(0.0, "Noise (sd) added to log-normalised values.", low=0, neutral=0.0)

    def __call__(self, cells: AnnData, *, seed: int) -> AnnData:
        """Return new cells, or `cells` themselves if nothing is to be done.

        The same seed gives the same cells. At a higher dropout the same values are lost and more;
        a smaller subsample is part of a larger one. Cells that are left without counts are
        dropped. After `gaussian` the values are log-normalised: ``uns["kind"]`` is ``log1p``,
        and a method that models counts refuses them. `uneven` and `stratify` use the types to
        choose the cells; no method sees these types.

        Parameters
        ----------
        cells
            As :func:`~jojoscl.cells.checks.as_cells` returns them.
        seed
            The run's seed.
        """
        if not self.decisive():
            return cells
        if is_backed(cells.X):
            raise UserError("corrupt changes cells in memory: take data.backed=false.")
        of_cells, of_counts, of_dropout, of_noise = (
            np.random.default_rng((seed, step)) for step in range(1, 5)
        )
        known = LABELS in cells.obs
        types = np.asarray(cells.obs[LABELS].astype(str)) if known else np.zeros(cells.n_obs)
        if self.uneven > 1:
            if not known:
                raise UserError("corrupt.uneven needs types: name their column by data.label_key.")
            kept = uneven(types, self.uneven, np.random.default_rng(seed))
            types, cells = types[kept], cells[kept].copy()
            cells.uns["input_made_by_types"] = "uneven"
        types = types if self.stratify else np.zeros(cells.n_obs)
        cells = cells[subsample(types, self.subsample, of_cells)].copy()
        x = sp.csr_matrix(cells.X)
        if self.thin < 1:
            if cells.uns["kind"] == "log1p":
                raise UserError("corrupt.thin needs counts, and these are logarithms.")
            counts = np.ceil(x.data).astype(np.int64)  # RPKM are rounded up
            x.data = of_counts.binomial(counts, self.thin).astype(np.float32)
            x.eliminate_zeros()
        x.data[of_dropout.random(x.nnz) < self.dropout] = 0
        x.eliminate_zeros()
        cells.X = x
        seen = np.asarray(cells.X.sum(axis=1)).ravel() > 0
        if not seen.all():
            log.warning("%d cells are left without counts: they are dropped", (~seen).sum())
            cells = cells[seen].copy()
        if self.gaussian > 0:
            cells.X = add_noise(log_normalised(cells), self.gaussian, of_noise)
            cells.uns["kind"] = "log1p"
        check_cells(cells)
        return cells


def uneven(types: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Return the indices, in order, of cells (n,) whose types are of uneven size.

    The types stand in random order. Of the type at place i = 0, 1, ... about
    n_0 / factor^min(i, 4) cells are kept, where n_0 is the size of the first, at most 1,000.
    """
    order = rng.permutation(np.unique(types))
    largest = min(np.sum(types == order[0]), MOST_OF_FIRST)
    kept = []
    for place, name in enumerate(order):
        members = np.flatnonzero(types == name)
        wanted = max(FEWEST_OF_TYPE, round(largest / factor ** min(place, LAST_STEP)))
        kept.append(rng.choice(members, min(wanted, len(members)), replace=False))
    return np.sort(np.concatenate(kept))


def subsample(types: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Return the indices, in order, of a `fraction` of each type's cells, and at least one.

    `types` (n,) are the types of all cells.
    """
    order = rng.permutation(len(types))
    shuffled = types[order]
    members = (order[shuffled == kind] for kind in np.unique(types))
    kept = [cells[: max(1, round(fraction * len(cells)))] for cells in members]
    return np.sort(np.concatenate(kept))


def log_normalised(cells: AnnData) -> sp.csr_matrix:
    """Return log(1 + x / s), x rounded up and s the size factor, as the released preprocessing."""
    import scanpy as sc  # slow to import: not before it is needed

    if cells.uns["kind"] == "log1p":
        return cells.X
    normalised = AnnData(X=cells.X.ceil())
    sc.pp.normalize_total(normalised)
    return sp.csr_matrix(sc.pp.log1p(normalised.X))


def add_noise(x: sp.csr_matrix, sd: float, rng: np.random.Generator) -> sp.csr_matrix:
    """Return max(0, x + noise): about half of the zeros rise."""
    bands = (band.toarray() for band in row_chunks(x))
    scale = np.float32(sd)
    return stack_rows(
        np.maximum(b + scale * rng.standard_normal(b.shape, dtype=np.float32), 0) for b in bands
    )
