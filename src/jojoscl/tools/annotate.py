"""The results in the AnnData of the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from jojoscl.cells.checks import check_anndata
from jojoscl.core.interface import Method, Result
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.settings import Settings

# What other calls put beside a clustering: of no use once the cells are clustered anew.
_STALE = {
    "obs": ("{}_confidence", "{}_novelty", "{}_group", "{}_splits", "{}_markers"),
    "obsm": ("X_{}_map", "X_{}_umap"),
    "uns": ("{}_splits", "{}_markers", "{}_umap"),
}
NULL = "null"  # None in a file: anndata before 0.11 writes no None


def check_key(key: str) -> str:
    """Return the name under which results are put, if a file can hold it."""
    if not isinstance(key, str) or not key or "/" in key:
        raise UserError(f"key_added must be a word without '/', not {key!r}.")
    return key


class Part(NamedTuple):
    """Some of the cells, and the labels of the others.

    Attributes
    ----------
    inside
        (n_cells,) bool, the cells that are clustered.
    words
        The labels of all cells before, in words.
    categories
        Those that are clustered anew.
    """

    inside: np.ndarray
    words: pd.Series
    categories: list[str]

    def labels(self, found: pd.Categorical) -> pd.Categorical:
        """Return labels (n_cells,): "3,0", "3,1" ... of the cells inside, as scanpy has them."""
        prefix = "-".join(self.categories)
        names = [f"{prefix},{name}" for name in found.categories]
        others = [word for word in self.words.cat.categories if word not in self.categories]
        words = self.words.astype(object).to_numpy(copy=True)
        words[self.inside] = np.array(names, object)[found.codes]
        return pd.Categorical(words, pd.Index([*others, *names], dtype=object))

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Return values (m, ...) of the cells inside as (n_cells, ...), NaN for the others."""
        dtype = np.result_type(values, np.float32)  # NaN is no whole number
        of_all = np.full((len(self.inside), *values.shape[1:]), np.nan, dtype)
        of_all[self.inside] = values
        return of_all

    @property
    def asked(self) -> dict[str, object]:
        """Return the column and its categories."""
        return {"column": self.words.name, "categories": self.categories}


def restricted(adata: AnnData, restrict_to: object) -> Part:
    """Return the cells, at least two, whose category is one of ``(column, categories)``."""
    check_anndata(adata)
    match restrict_to:
        case (str() as key, str() | int() as name):
            categories = [name]
        case (str() as key, list() | tuple() | set() | np.ndarray() | pd.Index() as names):
            categories = list(names)
        case _:
            raise UserError(
                "restrict_to is a column of obs and its categories, ('leiden', ['3']), not "
                f"{restrict_to!r}."
            )
    if key not in adata.obs:
        raise UserError(
            f"There is no column {key!r} in adata.obs{nearest(key, map(str, adata.obs.columns))}."
        )
    if adata.obs[key].ndim > 1:
        raise UserError(f"Several columns of adata.obs are called {key!r}: rename them.")
    words = adata.obs[key].astype("category")
    there = [str(name) for name in words.cat.categories]
    if len(set(there)) < len(there):
        raise UserError(f"{key!r} has categories that read the same, such as 1 and '1': join them.")
    words = words.cat.rename_categories(there)
    wanted = list(dict.fromkeys(map(str, categories)))
    for name in wanted:
        if name not in there:
            raise UserError(f"{key!r} has no category {name!r}{nearest(name, there)}.")
    prefix = "-".join(wanted) + ","
    if taken := [name for name in there if name not in wanted and name.startswith(prefix)]:
        raise UserError(
            f"{key!r} has a category {taken[0]!r} already, as the new clusters are called: "
            "rename it."
        )
    inside = words.isin(wanted).to_numpy()
    if inside.sum() < 2:
        raise UserError(f"restrict_to names {inside.sum()} cells: name categories with at least 2.")
    return Part(inside, words, wanted)


def params_of(method: Method, kind: str, **asked: object) -> dict[str, object]:
    """Return what a call or a command asked for; None is what it did not."""
    settings = method.plain() if isinstance(method, Settings) else {}
    kind_asked = None if kind == "auto" else kind
    return {"method": method.name, **asked, "kind": kind_asked, "settings": settings}


def annotate(
    adata: AnnData,
    key: str,
    result: Result,
    settings: Mapping[str, object],
    cells: AnnData,
    part: Part | None = None,
) -> None:
    """Put the clusters into ``obs[key]``, and what else the method found beside them, in place.

    What an earlier call left under this key, such as its confidence, splits and UMAP, is removed.

    Parameters
    ----------
    adata
        Cells of the user, (n_cells, n_genes).
    key
        The name of the results: ``obs[key]``, ``obsm["X_" + key]``, ``uns[key]`` and more.
    result
        What the method found.
    settings
        What was asked for; it becomes ``uns[key]["params"]``, see :func:`writable_settings`.
    cells
        The checked cells, whose kind of values is noted.
    part
        Which cells of `adata` the result is of; None: all.
    """
    names = pd.Index(sorted(map(str, set(result.labels)), key=int), dtype=object)
    labels = pd.Categorical(result.labels.astype(str), names)
    more = {f"{key}_{name}": values for name, values in result.obs.items()}
    obsm = {f"X_{key}": result.embedding}
    obsm |= {f"X_{key}_{name}": values for name, values in result.obsm.items()}
    if part is not None:
        labels = part.labels(labels)
        more, obsm = ({name: part.rows(x) for name, x in store.items()} for store in (more, obsm))
    uns = {
        "params": writable_settings(settings),
        "seconds": result.seconds,
        **{name: cells.uns[name] for name in ("kind", "kind_decided_by") if name in cells.uns},
        **result.info,
        **result.uns,
    }
    stale = {store: [name.format(key) for name in names] for store, names in _STALE.items()}
    put(adata, obs={key: labels, **more}, obsm=obsm, uns={key: uns}, stale=stale)


def put(
    adata: AnnData,
    *,
    obs: Mapping[str, object],
    obsm: Mapping[str, np.ndarray] | None = None,
    uns: Mapping[str, object],
    stale: Mapping[str, list[str]] | None = None,
) -> None:
    """Put all of it into `adata`, after checking that it fits; what is `stale` is removed."""
    for name, values in {**obs, **(obsm or {})}.items():
        if len(values) != adata.n_obs:  # type: ignore[arg-type]  # arrays and columns
            raise ValueError(f"{name} has no value for each of the {adata.n_obs} cells")
    if adata.is_view:  # as anndata itself does at the first assignment, with a warning
        adata._init_as_actual(adata.copy())
    for store, names in (stale or {}).items():
        for name in names:
            if name in getattr(adata, store):
                del getattr(adata, store)[name]
    adata.obs[list(obs)] = pd.DataFrame(dict(obs), index=adata.obs_names)
    adata.obsm.update(obsm or {})
    adata.uns.update(uns)


def writable_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings as an h5ad holds them: words, numbers, truth values, arrays and dicts.

    None is left out; within others, where leaving it out would mean the default, it is "null".
    """
    return {str(name): _writable(value) for name, value in settings.items() if value is not None}


def _writable(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _writable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        if all(isinstance(item, bool | int | float | np.generic) for item in value):
            return np.asarray(value)
        return np.array([str(item) for item in value])
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool | int | float | str):
        return value
    return NULL if value is None else str(value)


def settings_from(kept: Mapping[str, object]) -> dict[str, Any]:
    """Return what :func:`writable_settings` kept, with None in place of "null"."""
    return {
        name: settings_from(value)
        if isinstance(value, Mapping)
        else None
        if isinstance(value, str) and value == NULL
        else value
        for name, value in kept.items()
    }
