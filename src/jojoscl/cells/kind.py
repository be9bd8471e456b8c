"""What the values are: counts, RPKM or logarithms, told by the values themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jojoscl.utils.errors import UserError

KINDS = ("counts", "rpkm", "log1p")

LARGEST = 1e9  # no normalised value is larger
LARGEST_LOG = math.log2(LARGEST)
_BASES = {"log1p": 1.0, "log2": math.log(2), "log10": math.log(10)}
_SAMPLE = 500  # cells that are looked at for logarithms


class Kind(NamedTuple):
    """A kind of :data:`KINDS`, what decided it, and what the values are multiplied by to be natural logarithms."""

    name: str
    decided_by: str
    factor: float = 1.0


def kind_of(x: sp.csr_matrix, said: Mapping[str, object]) -> Kind:
    """Return what the values of x (n_cells, n_genes) are, or a :class:`UserError` where they leave a doubt.

    Whole numbers are counts. Logarithms of normalised counts show themselves in one of two ways,
    for base e, 2 or 10: undone, the values of each cell have equal sums (no gene was left out
    since), or they are whole multiples of the smallest one, a single count (whichever genes are
    left). `said`, what :func:`~jojoscl.cells.checks.as_cells` noted in ``uns``, holds where the
    values do not contradict it; without ``kind_decided_by`` it is not of this package.
    """
    values = x.data
    if not np.isfinite(values).all() or (values < 0).any() or (values == np.floor(values)).all():
        return Kind(
            "counts", "whole numbers"
        )  # or values that no kind allows, which the checks report
    name, largest = said.get("kind"), float(values.max())
    if (
        name in ("rpkm", "log1p")
        and "kind_decided_by" in said
        and (name == "log1p") == (largest < LARGEST_LOG)
    ):
        return Kind(str(name), str(said["kind_decided_by"]))
    if (found := _logarithm(x)) is not None:
        return found
    raise UserError(
        f"The values are neither whole numbers nor log-normalised beyond doubt (the largest is {largest:.4g}): say "
        "what they are by data.kind=rpkm or log1p (in Python kind=...; rpkm is right for corrected counts), or "
        "point data.layer at the counts."
    )


def _logarithm(x: sp.csr_matrix) -> Kind | None:
    cells = x[np.unique(np.linspace(0, x.shape[0] - 1, _SAMPLE).astype(int))].astype(np.float64)
    cells.eliminate_zeros()
    cells = cells[np.diff(cells.indptr) > 0]
    as_they_are = _spread(cells, cells.data), _multiples(cells, cells.data)
    undone = {
        base: np.expm1(factor * cells.data)
        for base, factor in _BASES.items()
        if factor * cells.data.max() < math.log(LARGEST)
    }
    spreads = {base: _spread(cells, u) for base, u in undone.items()}
    base = min(spreads, key=lambda name: spreads[name], default=None)
    if base is not None and spreads[base] < min(0.01, as_they_are[0]):
        return Kind("log1p", f"equal sums of cells ({base} undone)", _BASES[base])
    shares = {base: _multiples(cells, u) for base, u in undone.items()}
    base = max(shares, key=lambda name: shares[name], default=None)
    if base is not None and shares[base] > 0.5 > 2 * as_they_are[1]:
        return Kind("log1p", f"multiples of one count ({base} undone)", _BASES[base])
    return None


def _spread(cells: sp.csr_matrix, values: np.ndarray) -> float:
    """Return how far apart the sums of cells are: nine in ten, by their median."""
    low, middle, high = np.quantile(np.add.reduceat(values, cells.indptr[:-1]), [0.05, 0.5, 0.95])
    return float((high - low) / middle)


def _multiples(cells: sp.csr_matrix, values: np.ndarray) -> float:
    """Return the share of whole numbers among the ratios, 1.5 to 50, of values to the smallest of their cell."""
    smallest = np.minimum.reduceat(values, cells.indptr[:-1])
    ratio = values / np.repeat(smallest, np.diff(cells.indptr))
    ratio = ratio[(ratio > 1.5) & (ratio < 50)]
    return float((np.abs(ratio - np.round(ratio)) < 0.02).mean()) if len(ratio) else 0.0
