"""Names and annotation of cells and genes, such that what was read can be written."""

from __future__ import annotations

import numpy as np
import pandas as pd


def named(index: pd.Index, word: str) -> pd.Index:
    """Return the names as words: levels joined by ``_``, and those that are missing numbered after `word`."""
    if isinstance(index, pd.MultiIndex):
        return pd.Index(["_".join(map(str, levels)) for levels in index])
    missing = index.isna()
    return pd.Index(
        [f"{word}{i}" if missing[i] else str(name) for i, name in enumerate(index)], dtype=object
    )


def writable(table: pd.DataFrame, word: str) -> pd.DataFrame:
    """Return a copy of an annotation with names as words, and columns that anndata writes in every version.

    Numbers and truth values stay. Everything else, and truth values that are missing in places,
    becomes categories in words. No column has the name of another, nor a ``/`` in it.
    """
    columns: dict[str, object] = {}
    for i, name in enumerate(table.columns):
        free = str(name).replace("/", "_").removeprefix("_index") or "index"
        while free in columns:
            free += "_"
        columns[free] = _column(table.iloc[:, i])
    return pd.DataFrame(columns, index=named(table.index, word))


def _column(values: pd.Series) -> object:
    kind = getattr(values.dtype, "kind", "O")
    if (
        not isinstance(values.dtype, pd.CategoricalDtype)
        and kind in "biuf"
        and not (kind == "b" and values.hasnans)
    ):
        return values.to_numpy() if isinstance(values.dtype, np.dtype) else _plain(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, categories = (
            values.cat.codes.to_numpy(),
            [str(word) for word in values.cat.categories],
        )
        if len(set(categories)) == len(categories):
            return pd.Categorical.from_codes(
                codes, pd.Index(categories, dtype=object), ordered=values.cat.ordered
            )
    words = [
        None if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)
    ]
    return pd.Categorical(
        words, categories=pd.Index(sorted({w for w in words if w is not None}), dtype=object)
    )


def _plain(values: pd.Series) -> np.ndarray:
    """Return nullable numbers as those of numpy, missing ones as NaN."""
    return values.to_numpy(np.float64, na_value=np.nan) if values.hasnans else values.to_numpy()
