"""How much clusterings of the same cells agree."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from jojoscl.cells.checks import column
from jojoscl.utils.errors import UserError


def compare(adata: AnnData, keys: Sequence[str]) -> pd.DataFrame:
    """Compare columns of `obs`, such as clusterings by several methods and the annotated types.

    Parameters
    ----------
    keys
        Two columns or more, such as ``["jojoscl", "leiden", "annotation"]``.

    Returns
    -------
    A row for each two columns: one, other, n_cells (with a value in both), n_one, n_other (how many
    groups), ari and nmi (Hubert and Arabie 1985; arithmetic mean of the entropies), 1 where both
    are the same. :func:`jojoscl.pl.compare` draws what is in which.

    Examples
    --------
    >>> jojoscl.compare(adata, ["jojoscl", "leiden"])  # doctest: +SKIP
    """
    if isinstance(keys, str) or len(keys) < 2:
        raise UserError(f"keys must be two columns of obs or more, not {keys!r}.")
    rows = []
    for one, other in combinations(keys, 2):
        a, b = both_of(adata, one, other)
        row = {"one": one, "other": other, "n_cells": len(a)}
        row |= {"n_one": a.nunique(), "n_other": b.nunique()}
        row |= {"ari": adjusted_rand_score(a, b), "nmi": normalized_mutual_info_score(a, b)}
        rows.append(row)
    return pd.DataFrame(rows)


def both_of(adata: AnnData, one: str, other: str) -> tuple[pd.Series, pd.Series]:
    """Return two columns of obs in words, of the cells that have a value in both."""
    both = pd.DataFrame({"one": column(adata, one), "other": column(adata, other)}).dropna()
    if both.empty:
        raise UserError(f"No cell has a value in both {one!r} and {other!r}.")
    return both["one"].astype(str), both["other"].astype(str)
