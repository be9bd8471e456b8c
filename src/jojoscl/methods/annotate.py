"""The results in the AnnData of the user: all of them, or none."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from jojoscl.methods.base import Result
from jojoscl.utils.errors import UserError


def check_key(key: str) -> str:
    """Return the name under which results are put, or a :class:`UserError` where no file could hold it."""
    if not isinstance(key, str) or not key or "/" in key:
        raise UserError(f"key_added must be a word without '/', not {key!r}.")
    return key


def annotate(adata: AnnData, key: str, result: Result, settings: dict[str, object], cells: AnnData) -> None:
    """Add obs[key] and what else the method says of a cell, obsm["X_" + key] (and more) and uns[key] in place.

    Parameters
    ----------
    settings
        What was asked for, kept as JSON.
    cells
        The checked cells, whose kind of values is noted.

    Raises
    ------
    Exception
        Whatever the assignment raises; `adata` is then as it was before.
    """
    names = pd.Index(sorted(map(str, set(result.labels)), key=int), dtype=object)  # written by every anndata
    obs: dict[str, object] = {key: pd.Categorical(result.labels.astype(str), names)}
    obs |= {f"{key}_{name}": values for name, values in result.obs.items()}
    obsm: dict[str, object] = {f"X_{key}": result.embedding} | {f"X_{key}_{name}": x for name, x in result.obsm.items()}
    told = {name: cells.uns[name] for name in ("kind", "kind_decided_by") if name in cells.uns}
    params = json.dumps(settings, default=_plain)
    uns = {"params": params, "seconds": result.seconds, **told, **result.info, **result.uns}
    put(adata, obs=obs, obsm=obsm, uns={key: uns})


def put(
    adata: AnnData,
    *,
    obs: dict[str, object] | None = None,
    obsm: dict[str, object] | None = None,
    uns: dict[str, object] | None = None,
) -> None:
    """Put all of it into `adata`, or nothing where an assignment raises."""
    if adata.is_view:
        adata._init_as_actual(adata.copy())  # as anndata itself does at the first assignment, with a warning
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
