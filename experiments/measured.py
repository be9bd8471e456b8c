"""Tables that grow: a row is measured once, and what a table has is not measured again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anndata
import pandas as pd

import jojoscl
from jojoscl.runner.config import build, compose
from jojoscl.utils.files import whole_file

Unit = dict[str, Any]  # what a row or several are measured from


def cells_of(data: str, folder: Path | None = None) -> anndata.AnnData:
    """Return the cells of `folder`/`data`.h5ad where that is a file, else of the catalogue."""
    path = folder / f"{data}.h5ad" if folder else None
    return anndata.read_h5ad(path) if path and path.exists() else jojoscl.load_dataset(data)


def method_of(name: str) -> Any:
    """Return what ``method=name`` builds."""
    return build(compose([f"method={name}"]).method)


def grid_of(**axes: Iterable[Any]) -> list[Unit]:
    """All combinations, the last axis fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def resumed(
    path: Path, units: Iterable[Unit], measure: Callable[..., pd.DataFrame]
) -> pd.DataFrame:
    """The table in `path` with the rows of all `units`; only those that it lacks are measured."""
    table = pd.read_csv(path, float_precision="round_trip") if path.exists() else pd.DataFrame()
    for unit in units:
        if not table.empty and (table[list(unit)] == pd.Series(unit)).all(axis=1).any():
            continue
        rows = measure(**unit)
        if rows.empty:
            continue
        rows = rows.assign(**unit)[[*unit, *rows.columns]]
        table = pd.concat([table, rows], ignore_index=True) if len(table) else rows
        with whole_file(path) as temporary:
            table.to_csv(temporary, index=False)
        print(" ".join(f"{name}={value}" for name, value in unit.items()), flush=True)
    return table
