"""Cells that have been checked, and what a method may see of them."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.annotation import names_of, samples_in, types_of
from jojoscl.cells.guard import checked
from jojoscl.cells.kind import KINDS, LARGEST_LOG, Kind, kind_of, whole
from jojoscl.cells.matrix import Matrix, check_stored, file_of, is_backed, row_chunks
from jojoscl.utils.errors import UserError, nearest

log = logging.getLogger(__name__)

LABELS = "cell_type"
BATCH = "_batch"  # the column of samples
_GENES = ("gene expression", "gene", "rna")  # what 10x and others call genes in feature_types
_BARCODE = r"(?:.*[_.-])?[ACGT]{8,}(?:-\d+)?$"


def as_cells(
    adata: AnnData,
    *,
    layer: str | None = None,
    label_key: str | None = None,
    batch_key: str | None = None,
    kind: str = "auto",
    name: str = "cells",
    variant: str = "default",
    fewest: int = 2,
) -> AnnData:
    """Return a new AnnData that every method takes: checked float32 CSR, types and samples.

    A matrix that stays in its file is not read: its values are checked when preprocessing reads
    them. A :class:`UserError` says what is wrong.

    Parameters
    ----------
    adata
        Cells x genes.
    layer
        Where the values are: None is X, ``raw`` is ``adata.raw``.
    label_key
        Column of obs with the types, which become ``obs["cell_type"]``. None: there are none.
    batch_key
        Column of obs that tells samples apart, which becomes ``obs["_batch"]``.
    kind
        ``counts``, ``rpkm``, ``log1p`` (natural logarithms), or ``auto``: see
        :func:`~jojoscl.cells.kind.kind_of`. What was decided, and by what, is in ``uns["kind"]``
        and ``uns["kind_decided_by"]``.
    name, variant
        Of the data set, kept in ``uns``.
    fewest
        How many cells there must be.
    """
    _check_container(adata)
    if kind not in ("auto", *KINDS):
        raise UserError(f"There is no kind of values {kind!r}{nearest(kind, ('auto', *KINDS))}.")
    values, var = _values(adata, layer)
    x, var = _genes_alone(_usable(values), var)
    chosen = Kind(kind, "setting")
    if kind == "auto":
        first = next(row_chunks(x), x) if is_backed(x) else x
        chosen = kind_of(first, adata.uns if layer is None else {})
    obs = pd.DataFrame(index=names_of(adata.obs.index, "cell"))
    if label_key is not None:
        obs[LABELS] = types_of(adata, label_key)
    if batch_key is not None:
        if not isinstance(batch_key, str):
            raise UserError(
                f"batch_key is the name of one column of obs, not {batch_key!r}: join several into "
                "one, for instance by adata.obs['a'].astype(str) + adata.obs['b'].astype(str)."
            )
        if batch_key == label_key:
            raise UserError(
                f"{batch_key!r} cannot hold both the types and the samples: change label_key or "
                "batch_key."
            )
        obs[BATCH] = samples_in(adata, batch_key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what anndata says of repeated names is said just below
        cells = AnnData(X=x, obs=obs, var=pd.DataFrame(index=names_of(var.index, "gene")))
    cells.uns.update(
        kind=chosen.name, kind_decided_by=chosen.decided_by, name=name, variant=variant
    )
    check_cells(cells, fewest)
    if chosen.name == "counts" and not is_backed(x) and (x.data != np.rint(x.data)).any():
        cells.X = sp.csr_matrix((np.rint(x.data), x.indices, x.indptr), shape=x.shape)
    return cells


def _check_container(adata: AnnData) -> None:
    """Refuse what is no AnnData, or one whose cells cannot be read."""
    if not isinstance(adata, AnnData):
        kind = type(adata).__name__
        way_out = (
            "give that of its genes, mdata['rna']."
            if kind == "MuData"
            else "make one by anndata.AnnData(counts)."
        )
        raise UserError(f"adata must be an AnnData, not {kind}: {way_out}")
    if not isinstance(adata.obs, pd.DataFrame):
        raise UserError(
            "adata is read lazily: give adata.to_memory(), or open it by "
            "anndata.read_h5ad(backed='r')."
        )
    if adata.is_view and adata.isbacked:
        raise UserError(
            "adata is a view of cells in a file: give adata.to_memory(), or all cells of the file."
        )


def _usable(x: Matrix) -> Matrix:
    """Return the matrix as float32 CSR, or as it is if it stays in its file by rows."""
    if is_backed(x):
        check_stored(file_of(x), x)
        if getattr(x, "format", "csr") != "csr":
            raise UserError(
                "The matrix in the file is stored by genes (CSC): write it by cells, as csr_matrix."
            )
        return x
    if sp.issparse(x):
        x = checked(x)
    elif not isinstance(x, np.ndarray) or isinstance(x, np.ma.MaskedArray):
        raise UserError(
            f"The matrix is a {type(x).__name__}: give a numpy array or a sparse matrix of scipy."
        )
    if x.dtype.kind not in "biuf":
        raise UserError(
            f"The values are of type {x.dtype}: give numbers, for instance by "
            "adata.X.astype('float32')."
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
        return sp.csr_matrix(x, dtype=np.float32)


def _genes_alone(x: Matrix, var: pd.DataFrame) -> tuple[Matrix, pd.DataFrame]:
    """Leave out features that ``var["feature_types"]`` says are no genes, such as antibodies."""
    if "feature_types" not in var:
        return x, var
    kinds = var["feature_types"].astype(object).where(var["feature_types"].notna(), _GENES[0])
    gene = kinds.astype(str).str.lower().isin(_GENES).to_numpy()
    if gene.all() or not gene.any():
        return x, var
    if is_backed(x):
        raise UserError(
            "The file holds features that are no genes (see var['feature_types']): write the genes "
            "alone, by adata[:, adata.var['feature_types'] == 'Gene Expression'].write_h5ad(path)."
        )
    log.warning(
        "%d of %d features are no genes but %s (var['feature_types']): they are left out",
        (~gene).sum(), len(gene), ", ".join(sorted(set(kinds[~gene]))),
    )  # fmt: skip
    return x[:, gene], var[gene]


def check_cells(adata: AnnData, fewest: int = 2) -> None:
    """Refuse by a :class:`UserError` what no method could make sense of.

    That is fewer than `fewest` cells or no genes; names of cells that repeat; a matrix that looks
    transposed; cells without any count; and what :func:`check_values` refuses.
    """
    if adata.n_obs < fewest or adata.n_vars < 1:
        raise UserError(
            f"There are {adata.n_obs} cells and {adata.n_vars} genes: give at least {fewest} cells "
            "and 1 gene."
        )
    repeated = adata.obs_names[adata.obs_names.duplicated()]
    if len(repeated):
        raise UserError(
            f"{len(repeated)} cells have the name of another (such as {repeated[0]!r}): make them "
            "unique, for instance by adata.obs_names_make_unique()."
        )
    of_genes, of_cells = (
        names[:200].str.match(_BARCODE).mean() for names in (adata.var_names, adata.obs_names)
    )
    if of_genes > 0.5 > of_cells:
        words = "give data.transpose=true, or adata.T in Python."
        raise UserError(
            f"The columns are named like cells (by barcodes), so the matrix is transposed: {words}"
        )
    if not is_backed(adata.X):
        check_values(adata.X.data, adata.uns["kind"])
        check_totals(_totals(adata), adata.obs_names)


def check_names(cells: AnnData) -> AnnData:
    """Return the cells; genes with repeated names, which no name finds, are refused."""
    repeated = cells.var_names[cells.var_names.duplicated()]
    if len(repeated):
        raise UserError(
            f"{len(repeated)} genes have the name of another (such as {repeated[0]!r}): make the "
            "names unique, the same way for all cells, for instance by identifiers."
        )
    return cells


def check_totals(totals: np.ndarray, names: pd.Index) -> None:
    """Refuse cells without any count, given the totals (n,) and names of all."""
    empty = np.flatnonzero(totals == 0)
    if len(empty):
        raise UserError(
            f"{len(empty)} cells have no counts at all (such as {names[empty[0]]!r}): drop them, "
            "for instance by scanpy.pp.filter_cells(adata, min_counts=1)."
        )


def check_values(x: np.ndarray, kind: str) -> None:
    """Refuse values that are missing, infinite, negative, or not what `kind` says."""
    if not np.isfinite(x).all():
        raise UserError(
            f"{(~np.isfinite(x)).sum()} values are NaN or infinite: replace them, or drop those "
            "cells."
        )
    if (x < 0).any():
        raise UserError(
            f"{(x < 0).sum()} values are negative, as in scaled data: point data.layer at the "
            "counts, or at log-normalised values (data.layer=raw if they are in adata.raw)."
        )
    if kind == "log1p" and x.max(initial=0) > LARGEST_LOG:
        raise UserError(
            f"The values are no logarithms, as the largest is {x.max():.4g}: give "
            "data.kind=counts or rpkm, or point data.layer at the logarithms."
        )
    if kind == "counts" and not (fits := whole(x)).all():
        raise UserError(
            f"The values are no counts, as they are not whole (such as {x[~fits][0]:.4g}): give "
            "data.kind=log1p or data.kind=rpkm if they are that, or point data.layer at the counts."
        )


def _values(adata: AnnData, layer: str | None) -> tuple[Matrix, pd.DataFrame]:
    there = [name for name in adata.layers if name is not None]  # since anndata 0.13 None is X
    if (
        parent := getattr(adata, "_adata_ref", None)
    ) is not None:  # of a view, whose rows are taken by compiled code
        _usable(_of(parent, layer, there))
    x = _of(adata, layer, there)
    if layer is None and x is None:
        raise UserError(
            "The file has no matrix X: name the layer that holds the values by data.layer."
        )
    if x is None:
        there += ["raw"] if adata.raw is not None else []
        near = nearest(layer or "", there) if there else ": the file has none"
        raise UserError(f"There is no layer {layer!r}{near}.")
    return x, adata.raw.var if layer == "raw" and layer not in there else adata.var


def _of(adata: AnnData, layer: str | None, layers: list[str]) -> Matrix | None:
    if layer in layers:
        return adata.layers[layer]
    source = adata.raw if layer == "raw" else adata if layer is None else None
    try:
        return None if source is None else source.X
    except (KeyError, AttributeError):  # a backed file without X
        return None


def _totals(adata: AnnData) -> np.ndarray:
    return np.asarray(adata.X.sum(axis=1)).ravel()


def samples_of(adata: AnnData) -> np.ndarray | None:
    """Return the number (n_cells,) of each cell's sample, or None if none is given."""
    return adata.obs[BATCH].cat.codes.to_numpy() if BATCH in adata.obs else None


def without_labels(adata: AnnData) -> AnnData:
    """Return what a method may see: matrix, names, kind of values, samples; no types."""
    bare = AnnData(X=adata.X, obs=adata.obs[[c for c in adata.obs if c == BATCH]].copy())
    bare.var_names = adata.var_names
    bare.uns["kind"] = adata.uns["kind"]
    return bare
