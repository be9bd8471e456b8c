"""The results in the AnnData of the user: all of them, or none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from jojoscl.core.interface import Result
from jojoscl.utils.errors import UserError, nearest


def check_key(key: str) -> str:
    """Return the name under which results are put, or a :class:`UserError` where no file could hold it."""
    if not isinstance(key, str) or not key or "/" in key:
        raise UserError(f"key_added must be a word without '/', not {key!r}.")
    return key


class Part(NamedTuple):
    """The cells (n_cells,) bool that are clustered, and the words that label the others, by column and categories."""

    inside: np.ndarray
    words: pd.Series
    categories: list[str]

    def labels(self, found: pd.Categorical) -> pd.Categorical:
        """Return labels (n_cells,): "3,0" and so on for the cells that were clustered, as scanpy has them."""
        prefix = "-".join(self.categories)
        names = [f"{prefix},{name}" for name in found.categories]
        others = [word for word in self.words.cat.categories if word not in self.categories]
        words = self.words.astype(object).to_numpy(copy=True)
        words[self.inside] = np.array(names, object)[found.codes]
        return pd.Categorical(words, pd.Index([*others, *names], dtype=object))

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Return values (m, ...) of the cells that were clustered as (n_cells, ...), NaN for the others."""
        of_all = np.full((len(self.inside), *values.shape[1:]), np.nan, values.dtype)
        of_all[self.inside] = values
        return of_all


def restricted(adata: AnnData, restrict_to: object) -> Part:
    """Return the cells that ``(column, categories)`` names, at least two, or a :class:`UserError`."""
    if (
        not isinstance(restrict_to, Sequence)
        or isinstance(restrict_to, str)
        or len(restrict_to) != 2
    ):
        raise UserError(
            f"restrict_to is a column of obs and its categories, ('leiden', ['3']), not {restrict_to!r}."
        )
    key, categories = restrict_to
    if key not in adata.obs:
        raise UserError(
            f"There is no column {key!r} in adata.obs{nearest(str(key), map(str, adata.obs.columns))}."
        )
    wanted = [str(name) for name in ([categories] if isinstance(categories, str) else categories)]
    words = adata.obs[key].astype("category")
    words = words.cat.rename_categories([str(name) for name in words.cat.categories])
    for name in wanted:
        if name not in words.cat.categories:
            raise UserError(
                f"{key!r} has no category {name!r}{nearest(name, words.cat.categories)}."
            )
    inside = words.isin(wanted).to_numpy()
    if inside.sum() < 2:
        raise UserError(f"restrict_to names {inside.sum()} cells: name categories with at least 2.")
    return Part(inside, words, wanted)


def annotate(
    adata: AnnData,
    key: str,
    result: Result,
    settings: dict[str, object],
    cells: AnnData,
    part: Part | None = None,
) -> None:
    """Add obs[key] and what else the method says of a cell, obsm["X_" + key] (and more) and uns[key] in place.

    Parameters
    ----------
    settings
        What was asked for, kept as JSON.
    cells
        The checked cells, whose kind of values is noted.
    part
        Which of the cells of `adata` the result is of; None: all.

    Raises
    ------
    Exception
        Whatever the assignment raises; `adata` is then as it was before.
    """
    names = pd.Index(
        sorted(map(str, set(result.labels)), key=int), dtype=object
    )  # written by every anndata
    labels = pd.Categorical(result.labels.astype(str), names)
    more = {f"{key}_{name}": values for name, values in result.obs.items()}
    obsm = {f"X_{key}": result.embedding} | {
        f"X_{key}_{name}": x for name, x in result.obsm.items()
    }
    if part is not None:
        labels = part.labels(labels)
        more, obsm = ({name: part.rows(x) for name, x in store.items()} for store in (more, obsm))
    obs: dict[str, object] = {key: labels, **more}
    told = {name: cells.uns[name] for name in ("kind", "kind_decided_by") if name in cells.uns}
    params = json.dumps(settings, default=_plain)
    uns = {"params": params, "seconds": result.seconds, **told, **result.info, **result.uns}
    put(adata, obs=obs, obsm={**obsm}, uns={key: uns})


def put(
    adata: AnnData,
    *,
    obs: dict[str, object] | None = None,
    obsm: dict[str, object] | None = None,
    uns: dict[str, object] | None = None,
) -> None:
    """Put all of it into `adata`, or nothing where an assignment raises."""
    if adata.is_view:
        adata._init_as_actual(
            adata.copy()
        )  # as anndata itself does at the first assignment, with a warning
    with ExitStack() as undo:
        for store, new in ((adata.obs, obs), (adata.obsm, obsm), (adata.uns, uns)):
            for name, value in (new or {}).items():
                if name in store:
                    undo.callback(store.__setitem__, name, store[name])
                else:
                    undo.callback(_drop, store, name)
                store[name] = value
        undo.pop_all()


def _drop(store: Any, name: str) -> None:
    if name in store:
        del store[name]


def _plain(value: object) -> object:
    """Return a number or an array of numpy as JSON knows it, and anything else in words."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
