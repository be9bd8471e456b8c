"""Cells that have been checked, and what a method may see of them."""

import logging
import warnings
from contextlib import suppress

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.matrix import Matrix, check_stored, checked, is_backed, kind_of, row_chunks
from jojoscl.utils.errors import UserError, nearest

log = logging.getLogger(__name__)

LABELS = "cell_type"
BATCH = "_batch"  # the column of samples
FEWEST_OF_SAMPLE = 10  # cells
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

    Of a matrix that stays in its file the first band is looked at; the others are checked when
    preprocessing reads them. A :class:`UserError` says what is wrong.

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
        :func:`~jojoscl.cells.matrix.kind_of`. What was decided, and by what, is in ``uns["kind"]``
        and ``uns["kind_decided_by"]``.
    name, variant
        Of the data set, kept in ``uns``.
    fewest
        How many cells there must be.
    """
    x, var = _genes_alone(*_matrix(adata, layer))
    some = next(row_chunks(x), sp.csr_matrix(x.shape)) if is_backed(x) else x
    kind, by = kind_of(some, kind, adata.uns if layer is None else {})
    obs = pd.DataFrame(index=adata.obs_names.astype(str))
    if label_key is not None:
        obs[LABELS] = types_of(adata, label_key)
    if batch_key is not None:
        if batch_key == label_key:
            raise UserError(f"{batch_key!r} cannot hold both the types and the samples.")
        obs[BATCH] = samples_in(adata, batch_key)
    if kind == "counts" and not is_backed(x) and (x.data != (near := np.rint(x.data))).any():
        x = sp.csr_matrix((near, x.indices, x.indptr), shape=x.shape)  # whole up to rounding
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what anndata says of repeated names is said just below
        cells = AnnData(X=x, obs=obs, var=pd.DataFrame(index=var.index.astype(str)))
    cells.uns.update(kind=kind, kind_decided_by=by, name=name, variant=variant)
    check_cells(cells, fewest)
    return cells


def check_anndata(adata: object) -> None:
    """Refuse what is no AnnData."""
    if not isinstance(adata, AnnData):
        raise UserError(
            f"adata must be an AnnData, not {type(adata).__name__}: make one by "
            "anndata.AnnData(counts), or give that of the genes of a MuData, mdata['rna']."
        )
    if not adata.n_obs:
        raise UserError("adata has no cells, as if a choice of cells found none: give some.")


def _matrix(adata: AnnData, layer: str | None) -> tuple[Matrix, pd.DataFrame]:
    """Return the matrix of the layer, float32 CSR or in its file by rows, and its genes."""
    check_anndata(adata)
    if adata.is_view and adata.isbacked:
        raise UserError("adata is a view of cells in a file: give adata.to_memory().")
    x, var = None, adata.var
    there = [name for name in adata.layers if name is not None]  # since anndata 0.13 None is X
    if layer in there:
        x = adata.layers[layer]
    elif layer == "raw" and adata.raw is not None:
        x, var = adata.raw.X, adata.raw.var
    elif layer is not None:
        raise UserError(f"There is no layer {layer!r}{nearest(str(layer), there)}.")
    else:
        with suppress(KeyError):  # a file without X
            x = adata.X
    if x is None:
        raise UserError("There is no matrix X: name the layer of the counts by layer=.")
    if is_backed(x):
        check_stored(x)
        if getattr(x, "format", "csr") != "csr":
            raise UserError("The matrix in the file is stored by genes (CSC): write it as CSR.")
        return x, var
    if (not sp.issparse(x) and not isinstance(x, np.ndarray)) or x.dtype.kind not in "biuf":
        raise UserError(
            f"The matrix is a {type(x).__name__} of type {x.dtype}: give a numpy array or a sparse "
            "matrix of numbers, for instance by adata.X.astype('float32')."
        )
    x = checked(x) if getattr(x, "format", "") in ("csr", "csc") else x
    return sp.csr_matrix(x, dtype=np.float32), var


def _genes_alone(x: Matrix, var: pd.DataFrame) -> tuple[Matrix, pd.DataFrame]:
    """Leave out features that ``var["feature_types"]`` says are no genes, such as antibodies."""
    if "feature_types" not in var:
        return x, var
    kinds = var["feature_types"].astype(object).fillna(_GENES[0]).astype(str)
    gene = kinds.str.lower().isin(_GENES).to_numpy()
    if gene.all() or not gene.any():
        return x, var
    if is_backed(x):
        raise UserError(
            "The file holds features that are no genes (see var['feature_types']): write the genes "
            "alone, by adata[:, adata.var['feature_types'] == 'Gene Expression'].write_h5ad(path)."
        )
    others = ", ".join(sorted(set(kinds[~gene])))
    words = "%d of %d features are no genes but %s (var['feature_types']): they are left out"
    log.warning(words, (~gene).sum(), len(gene), others)
    return x[:, gene], var[gene]


def column(adata: AnnData, key: str) -> pd.Series:
    """Return a column of obs; where there is none, a :class:`UserError` names all."""
    check_anndata(adata)
    if not isinstance(key, str) or key not in adata.obs:
        names = ", ".join(map(str, adata.obs)) or "none"
        raise UserError(
            f"There is no column {key!r} in the cells' annotation (there are: {names})."
        )
    if adata.obs[key].ndim > 1:
        raise UserError(f"Several columns of obs are called {key!r}: rename them.")
    return adata.obs[key]


def types_of(adata: AnnData, key: str) -> "pd.Categorical[str]":
    """Return the types as words; numbers keep their order."""
    values = pd.Series(np.asarray(column(adata, key)))
    if missing := int(values.isna().sum()):
        raise UserError(f"{missing} cells have no value in {key!r}: fill it in, or drop them.")
    if values.dtype.kind == "f" and (values % 1 == 0).all():
        values = values.astype(int)  # codes that were stored as 1.0, 2.0, ...
    elif values.dtype == object:
        values = values.astype(str)
    return pd.Categorical(values.astype(str), list(map(str, sorted(values.unique()))))


def samples_in(adata: AnnData, key: str) -> "pd.Categorical[str]":
    """Return the sample of each cell, at least two.

    Samples of fewer than `FEWEST_OF_SAMPLE` cells are joined, with the next larger one if need be.
    """
    samples = types_of(adata, key)
    sizes = pd.Series(samples).value_counts()
    if len(sizes) < 2:
        raise UserError(f"All cells have one value in {key!r}: leave out batch_key.")
    few = int((sizes < FEWEST_OF_SAMPLE).sum())
    if few and sizes.iloc[-few:].sum() < FEWEST_OF_SAMPLE:
        few += 1
    if few == len(sizes):
        raise UserError(
            f"The samples of {key!r} have too few cells, {FEWEST_OF_SAMPLE} are needed: leave out "
            "batch_key."
        )
    if few:
        joined = list(sizes.index[-few:])
        log.warning("samples of %r with few cells count as one: %s", key, ", ".join(joined))
        words = np.asarray(samples, object)
        samples = pd.Categorical(np.where(samples.isin(joined), " + ".join(joined), words))
    return samples


def check_cells(adata: AnnData, fewest: int = 2) -> None:
    """Refuse by a :class:`UserError` cells that no method could make sense of.

    That is fewer than `fewest` cells or no genes; names that repeat; a matrix that looks
    transposed; and cells in memory without any count.
    """
    if adata.n_obs < fewest or adata.n_vars < 1:
        raise UserError(f"There are {adata.n_obs} cells and {adata.n_vars} genes: give more.")
    for names, words, way in (
        (adata.obs_names, "cells", "for instance by adata.obs_names_make_unique()"),
        (adata.var_names, "genes", "the same way for all cells, for instance by identifiers"),
    ):
        repeated = names[names.duplicated()]
        if len(repeated):
            raise UserError(
                f"{len(repeated)} {words} have the name of another (such as {repeated[0]!r}): make "
                f"the names unique, {way}."
            )
    named_by_barcode = [
        names[:200].str.match(_BARCODE).mean() > 0.5 for names in (adata.var_names, adata.obs_names)
    ]
    if named_by_barcode == [True, False]:
        raise UserError("The genes are named by barcodes: the matrix is transposed, give adata.T.")
    if not is_backed(adata.X):
        check_totals(np.asarray(adata.X.sum(axis=1)).ravel(), adata.obs_names)


def check_totals(totals: np.ndarray, names: pd.Index) -> None:
    """Refuse cells without any count, given the totals (n,) and names of all."""
    empty = np.flatnonzero(totals == 0)
    if len(empty):
        raise UserError(
            f"{len(empty)} cells have no counts at all (such as {names[empty[0]]!r}): drop them, "
            "for instance by scanpy.pp.filter_cells(adata, min_counts=1)."
        )


def check_in_memory(adata: AnnData) -> None:
    """Refuse a matrix that stays in its file, for what needs all of it."""
    if is_backed(adata.X):
        raise UserError("The matrix stays in its file: give adata.to_memory().")


def samples_of(adata: AnnData) -> np.ndarray | None:
    """Return the number (n_cells,) of each cell's sample, or None if none is given."""
    return adata.obs[BATCH].cat.codes.to_numpy() if BATCH in adata.obs else None


def without_labels(adata: AnnData) -> AnnData:
    """Return what a method may see: matrix, names, kind of values, samples; no types."""
    bare = AnnData(X=adata.X, obs=adata.obs[[c for c in adata.obs if c == BATCH]].copy())
    bare.var_names = adata.var_names
    bare.uns["kind"] = adata.uns["kind"]
    return bare
