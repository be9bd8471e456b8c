"""What the values are: counts, RPKM or logarithms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jojoscl.utils.errors import UserError

KINDS = ("counts", "rpkm", "log1p")

WHOLE = 1e-3  # values this near to a whole number of 1 or more are whole
LARGEST_LOG = 30.0  # no normalised value is as large as its exponential
_SAMPLE = 500  # cells that are looked at
_FEWEST = 20  # genes that must be common before their variance says anything


class Kind(NamedTuple):
    """A kind of :data:`KINDS`, and what decided it."""

    name: str
    decided_by: str


def whole(values: np.ndarray) -> np.ndarray:
    """Return which values are 0, or whole up to rounding, as ``expm1(log1p(counts))`` are."""
    nearest = np.rint(values)
    return (np.abs(values - nearest) <= WHOLE) & ((nearest >= 1) | (values == 0))


def kind_of(x: sp.csr_matrix, said: Mapping[str, object]) -> Kind:
    """Return what the values of x (n, genes) are; a doubt is a :class:`UserError`.

    Whole numbers are counts, unless they vary less than counts can. Values are logarithms if what
    they are natural logarithms of has the same sum in each cell. Otherwise what
    :func:`~jojoscl.cells.checks.as_cells` noted in ``uns``, `said`, holds if the values do not
    contradict it.
    """
    values = x.data
    if not np.isfinite(values).all() or (values < 0).any():
        return Kind("counts", "whole numbers")  # values that no kind allows: the checks say so
    largest = float(values.max(initial=0))
    if whole(values).all():
        if _steadier_than_counts(x):
            raise UserError(
                "The values are whole numbers, but vary less than counts do, as rounded logarithms "
                "would: give data.kind=counts if they are counts, or point data.layer at these."
            )
        return Kind("counts", "whole numbers")
    name = said.get("kind")
    ours = "kind_decided_by" in said and (name == "log1p") == (largest < LARGEST_LOG)
    if ours and name in ("rpkm", "log1p"):
        return Kind(str(name), str(said["kind_decided_by"]))
    if largest < LARGEST_LOG and _equal_sums(x):
        return Kind("log1p", "equal sums of cells (log1p undone)")
    raise UserError(
        "The values are neither whole numbers nor log-normalised beyond doubt (the largest is "
        f"{largest:.4g}): say what they are by data.kind=rpkm or log1p (in Python kind=...; rpkm "
        "is right for corrected counts), or point data.layer at the counts."
    )


def _some(x: sp.csr_matrix) -> sp.csr_matrix:
    return x[np.unique(np.linspace(0, x.shape[0] - 1, _SAMPLE).astype(int))].astype(np.float64)


def _equal_sums(x: sp.csr_matrix) -> bool:
    """Return whether cells have equal sums of exp(x) - 1, nine in ten within 1 %, and not of x."""
    cells = _some(x)
    spreads = []
    for values in (cells, cells.expm1()):
        sums = np.asarray(values.sum(1)).ravel()
        low, middle, high = np.quantile(sums[sums > 0], [0.05, 0.5, 0.95])
        spreads.append((high - low) / middle)
    return bool(spreads[1] < min(0.01, spreads[0]))


def _steadier_than_counts(x: sp.csr_matrix) -> bool:
    """Return whether common genes vary far less than counts: by less than their mean."""
    cells = _some(x)
    mean = np.asarray(cells.mean(0)).ravel()
    variance = np.asarray(cells.multiply(cells).mean(0)).ravel() - mean**2
    common = mean >= 1
    if cells.shape[0] < _FEWEST or common.sum() < _FEWEST or x.data.max() >= LARGEST_LOG:
        return False
    return bool(np.median(variance[common] / mean[common]) < 0.4)
