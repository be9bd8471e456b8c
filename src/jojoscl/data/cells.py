"""Cells that have been checked, and what a method may see of them."""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.data.io.matrix import is_backed, row_chunks
from jojoscl.utils.errors import UserError, nearest

log = logging.getLogger(__name__)

KINDS = ("counts", "rpkm", "log1p")


LABELS = "cell_type"


_BARCODE = re.compile(r"(?:.*[_.-])?[ACGT]{8,}(?:-\d+)?$")


_LOG1P_LIMIT = 15.0  # log1p of three million: no log-normalised value is larger


def as_cells(
    adata: AnnData,
    *,
    layer: str | None = None,
    label_key: str | None = None,
    kind: str = "auto",
    name: str = "cells",
    variant: str = "default",
) -> AnnData:
    """A new AnnData as every method takes it: checked, X float32 CSR, types (if any) in ``obs["cell_type"]``.

    A matrix that stays in its file is not read: its values are checked as preprocessing goes through them.

    Parameters
    ----------
    layer
        Where the values are: None is X, ``raw`` is ``adata.raw``.
    label_key
        Column of obs with the types. None: there are none, and a column ``cell_type`` is left out.
    kind
        ``counts``, ``rpkm``, ``log1p``, or ``auto``: whole numbers are counts, other small ones are log1p.

    Raises
    ------
    UserError
        See :func:`check_cells`; or the layer or the column of types is not there.
    """
    if kind not in ("auto", *KINDS):
        raise UserError(f"There is no kind of values {kind!r}{nearest(kind, ('auto', *KINDS))}.")
    x, var = _values(adata, layer)
    obs = adata.obs.drop(columns=[LABELS] if LABELS in adata.obs else [])
    if label_key is not None:
        obs[LABELS] = _types(adata, label_key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that are not unique: made so, or reported, just below
        x = x if is_backed(x) else sp.csr_matrix(x, dtype=np.float32)
        cells = AnnData(X=x, obs=obs, var=var.copy())
        cells.var_names_make_unique()
    if is_backed(x) and getattr(x, "format", "csr") != "csr":
        raise UserError("The matrix in the file is stored by genes (CSC): write it by cells, as csr_matrix.")
    if kind == "auto":
        kind = _kind(adata, layer, next(row_chunks(x), x) if is_backed(x) else x)
    cells.uns.update(kind=kind, name=name, variant=variant)
    check_cells(cells)
    return cells


def check_cells(adata: AnnData) -> None:
    """Refuse what no method could make sense of.

    Raises
    ------
    UserError
        Fewer than two cells or no genes; names of cells that repeat; a matrix that looks transposed; values
        that are missing, infinite, negative, or not whole where ``uns["kind"]`` says counts; cells without
        any count.
    """
    if adata.n_obs < 2 or adata.n_vars < 1:
        raise UserError(f"There are {adata.n_obs} cells and {adata.n_vars} genes: give at least 2 cells and 1 gene.")
    repeated = adata.obs_names[adata.obs_names.duplicated()]
    if len(repeated):
        raise UserError(
            f"{len(repeated)} cells have the name of another (such as {repeated[0]!r}): make them unique, "
            "for instance by adata.obs_names_make_unique()."
        )
    if _share_of_barcodes(adata.var_names) > 0.5 > _share_of_barcodes(adata.obs_names):
        raise UserError(
            "The columns are named like cells (by barcodes), so the matrix is transposed: give "
            "data.transpose=true, or adata.T in Python."
        )
    if not is_backed(adata.X):
        check_values(adata.X.data, adata.uns["kind"])
        check_totals(_totals(adata), adata.obs_names)


def check_totals(totals: np.ndarray, names: pd.Index) -> None:
    """Refuse cells without any count, given the totals (n,) and names of all."""
    empty = np.flatnonzero(totals == 0)
    if len(empty):
        raise UserError(
            f"{len(empty)} cells have no counts at all (such as {names[empty[0]]!r}): drop them, "
            "for instance by scanpy.pp.filter_cells(adata, min_counts=1)."
        )


def check_values(x: np.ndarray, kind: str) -> None:
    """Refuse values that are missing, infinite, negative, or not whole where `kind` says counts."""
    if not np.isfinite(x).all():
        raise UserError(f"{(~np.isfinite(x)).sum()} values are NaN or infinite: replace them, or drop those cells.")
    if (x < 0).any():
        raise UserError(
            f"{(x < 0).sum()} values are negative, as in scaled data: point data.layer at the counts, "
            "or at log-normalised values (data.layer=raw if they are in adata.raw)."
        )
    if kind == "counts" and (x != np.floor(x)).any():
        raise UserError(
            f"The values are no counts, as they are not whole (such as {x[x != np.floor(x)][0]:.4g}): give "
            "data.kind=log1p or data.kind=rpkm if they are that, or point data.layer at the counts."
        )


def _values(adata: AnnData, layer: str | None) -> tuple[Any, pd.DataFrame]:
    if layer is None:
        x, var = adata.X, adata.var
    elif layer in adata.layers:
        x, var = adata.layers[layer], adata.var
    elif layer == "raw" and adata.raw is not None:
        x, var = adata.raw.X, adata.raw.var
    else:
        there = [*adata.layers, *(["raw"] if adata.raw is not None else [])]
        raise UserError(f"There is no layer {layer!r}{nearest(layer, there) if there else ': the file has none'}.")
    if x is None:
        raise UserError("The file has no matrix X: name the layer that holds the values by data.layer.")
    return x, var


def _types(adata: AnnData, key: str) -> Any:
    """The types as words; numbers keep their order."""
    if key not in adata.obs:
        if key in adata.var:
            raise UserError(f"{key!r} describes the genes, so the matrix is transposed: give data.transpose=true.")
        there = nearest(key, map(str, adata.obs.columns)) if adata.obs.shape[1] else " (it has none)"
        raise UserError(f"There is no column {key!r} in the cells' annotation{there}.")
    values = pd.Series(np.asarray(adata.obs[key]))
    if values.isna().any():
        raise UserError(
            f"{values.isna().sum()} cells have no type in {key!r}: drop them, or give data.label_key=null "
            "to go without types."
        )
    if pd.api.types.is_float_dtype(values) and (values == values.round()).all():
        values = values.astype(int)  # codes that were stored as 1.0, 2.0, ...
    elif values.dtype == object:
        values = values.astype(str)
    return pd.Categorical(values.astype(str), categories=[str(value) for value in sorted(values.unique())])


def _kind(adata: AnnData, layer: str | None, x: sp.csr_matrix) -> str:
    """What a dataset of the catalogue says of itself, or counts or log1p where the values leave no doubt."""
    if layer is None and adata.uns.get("kind") in KINDS:
        return str(adata.uns["kind"])
    whole = bool((x.data == np.floor(x.data)).all())
    if whole or not np.isfinite(x.data).all() or (x.data < 0).any():
        return "counts"  # or values that no kind allows, which the checks report
    if x.data.max() < _LOG1P_LIMIT and ("log1p" in adata.uns or (x.data != np.floor(x.data)).mean() > 0.5):
        log.info("the values are taken for log-normalised ones (data.kind=log1p)")
        return "log1p"
    raise UserError(
        f"The values are neither whole numbers nor log-normalised (the largest is {x.data.max():.4g}): say "
        "what they are by data.kind=rpkm or log1p (in Python kind=...), or point data.layer at the counts."
    )


def _totals(adata: AnnData) -> np.ndarray:
    return np.asarray(adata.X.sum(axis=1)).ravel()


def _share_of_barcodes(names: pd.Index) -> float:
    sample = names[:200]
    return sum(bool(_BARCODE.match(name)) for name in sample) / len(sample)


def without_labels(adata: AnnData) -> AnnData:
    """What a method may see: the matrix, the names of cells and genes, and the kind of values. Nothing else."""
    bare = AnnData(X=adata.X)
    bare.obs_names, bare.var_names = adata.obs_names, adata.var_names
    bare.uns["kind"] = adata.uns["kind"]
    return bare
