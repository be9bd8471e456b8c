"""Names, types and samples of cells, as text."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from jojoscl.utils.errors import UserError, nearest

FEWEST_OF_SAMPLE = 10  # cells


def names_of(index: pd.Index, word: str) -> pd.Index:
    """Return names as text: levels joined by ``_``, and missing ones numbered after `word`."""
    if isinstance(index, pd.MultiIndex):
        return pd.Index(["_".join(map(str, levels)) for levels in index], dtype=object)
    missing = index.isna()
    names = [f"{word}{i}" if missing[i] else str(name) for i, name in enumerate(index)]
    return pd.Index(names, dtype=object)


def types_of(adata: AnnData, key: str) -> pd.Categorical[str]:
    """Return the types as words; numbers keep their order."""
    if key not in adata.obs:
        if key in adata.var:
            raise UserError(
                f"{key!r} describes the genes, so the matrix is transposed: give "
                "data.transpose=true."
            )
        there = (
            nearest(key, map(str, adata.obs.columns)) if adata.obs.shape[1] else " (it has none)"
        )
        raise UserError(f"There is no column {key!r} in the cells' annotation{there}.")
    if adata.obs[key].ndim > 1:
        raise UserError(
            f"Several columns of the cells' annotation are called {key!r}: rename them."
        )
    values = pd.Series(np.asarray(adata.obs[key]))
    if values.isna().any():
        raise UserError(
            f"{values.isna().sum()} cells have no type in {key!r}: drop them, or give "
            "data.label_key=null to go without types."
        )
    if (
        pd.api.types.is_float_dtype(values)
        and np.isfinite(values).all()
        and (values == values.round()).all()
    ):
        values = values.astype(int)  # codes that were stored as 1.0, 2.0, ...
    elif values.dtype == object:
        values = values.astype(str)
    return pd.Categorical(
        values.astype(str), categories=[str(value) for value in sorted(values.unique())]
    )


def samples_in(adata: AnnData, key: str) -> pd.Categorical[str]:
    """Return the sample of each cell; at least two, of `FEWEST_OF_SAMPLE` cells each."""
    if key in adata.obs and (missing := int(np.sum(adata.obs[key].isna().to_numpy()))):
        raise UserError(
            f"{missing} cells have no sample in {key!r}: name theirs, or drop these cells."
        )
    samples = types_of(adata, key)
    sizes = pd.Series(samples).value_counts()
    if len(sizes) < 2:
        raise UserError(f"All cells have one value in {key!r}: leave out batch_key.")
    if (fewest := int(sizes.min())) < FEWEST_OF_SAMPLE:
        raise UserError(
            f"Sample {sizes.index[-1]!r} of {key!r} has {fewest} cells, and {FEWEST_OF_SAMPLE} are "
            "needed: drop it, or join it to another."
        )
    return pd.Categorical(np.asarray(samples))
