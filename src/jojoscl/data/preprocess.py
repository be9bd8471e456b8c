"""From counts to what networks see: log-normalised, reduced to variable genes, z-scored; cached."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from sklearn.utils.sparsefuncs import mean_variance_axis

from jojoscl.data.io.matrix import canonical, is_backed
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file
from jojoscl.utils.settings import Settings, setting

log = logging.getLogger(__name__)

CACHE_FORMAT = 1  # goes into every cache key: raise it when the computation changes


@dataclass(kw_only=True)
class Preprocess(Settings):
    """The steps from counts to what networks see; the defaults are those of the released code.

    ceil -> drop genes seen in fewer than `min_cells` cells -> size factors -> log1p -> highly variable
    genes -> z-score per gene. Log-normalised data (``uns["kind"] == "log1p"``) enter at the choice of
    genes. Genes that do not vary are dropped, cells never are.
    """

    round_counts: bool = setting(True, "Round up to whole numbers: RPKM become pseudo-counts.")
    min_cells: int = setting(1, "A gene seen in fewer cells is dropped.", low=0)
    target_sum: float | None = setting(
        None, "Total of each cell after normalisation; None is the median of the totals.", low=1
    )
    log1p: bool = setting(True, "Take log(1 + x).")
    n_top_genes: int | None = setting(2000, "How many highly variable genes to keep; None keeps all.", low=1)
    hvg_flavor: str = setting("seurat", "Scanpy's rule to choose them.", values=("seurat", "cell_ranger", "seurat_v3"))
    scale: bool = setting(True, "Z-score each gene, with n - 1 in the variance.")
    max_value: float | None = setting(None, "Where z-scores are clipped; None does not clip.", low=0)
    dense_gib: float = setting(
        0.5, "A dense matrix of the chosen genes larger than this, in GiB, stays in a file.", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_value is not None and not self.scale:
            raise UserError("max_value clips z-scores, and scale=false makes none: give max_value=null too.")

    def __call__(self, adata: AnnData, cache: str | os.PathLike[str] | None = None) -> AnnData:
        """Preprocess, or take the result of an earlier call from the folder `cache`.

        Parameters
        ----------
        adata
            Checked cells (:func:`~jojoscl.data.as_cells`): X CSR, ``uns["kind"]``.
        cache
            A folder; None computes anew.

        Returns
        -------
        The same cells in the same order, (n_cells, n_genes_kept): X dense float32, ``layers["counts"]`` CSR
        (not for log1p data), ``obs["size_factors"]`` total / median total.

        Raises
        ------
        UserError
            No gene is left, the cache folder cannot be used, or the cells stay in their file.
        """
        if is_backed(adata.X):
            raise UserError("These cells stay in their file, and this method needs them in memory: take jojoscl.")
        if cache is None:
            return self._assemble(adata, *self._compute(adata))
        path = usable(Path(cache)) / f"preprocessed-{self.key(adata)}.npz"
        parts = _load(path)
        if parts is None:
            parts = self._compute(adata)
            _save(path, *parts)
        return self._assemble(adata, *parts)

    apply = __call__

    def _compute(self, adata: AnnData) -> tuple[np.ndarray, np.ndarray, sp.csr_matrix | None, np.ndarray]:
        """(X, indices of the genes kept, counts of these genes, size factors)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy's advice is of no use here
            counts, values = None, canonical(adata.X)
            genes = _seen(values, self.min_cells)
            if len(genes) == 0:
                raise UserError(f"No gene is seen in {self.min_cells} cells or more: lower min_cells.")
            logged = values = values if len(genes) == adata.n_vars else values[:, genes]
            size_factors = np.ones(adata.n_obs, np.float32)
            if adata.uns["kind"] != "log1p":
                counts = _with_values(values, np.ceil(values.data)) if self.round_counts else values
                values, logged, size_factors = self._normalise(counts)
            chosen = self._variable_genes(logged, counts)
            x = np.asarray((logged if self.log1p else values)[:, chosen].toarray(), dtype=np.float32)
            varying = x.max(axis=0) > x.min(axis=0)
            if not varying.all():
                x, chosen = x[:, varying], chosen[varying]
            return self._scaled(x), genes[chosen], None if counts is None else counts[:, chosen], size_factors

    def _normalise(self, counts: sp.csr_matrix) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray]:
        """Normalised values, their logarithms (one object with `log1p`), and size factors (n_cells,)."""
        import scanpy as sc  # slow to import: not before it is needed

        totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        totals[totals == 0] = 1.0  # all genes of the cell were too rare
        cells = AnnData(X=_with_values(counts, counts.data.copy()))
        sc.pp.normalize_total(cells, target_sum=self.target_sum)
        logged = sc.pp.log1p(cells.X, copy=not self.log1p)
        return cells.X, logged, (totals / np.median(totals)).astype(np.float32)

    def _variable_genes(self, logged: sp.csr_matrix, counts: sp.csr_matrix | None) -> np.ndarray:
        """Indices of the highly variable genes."""
        import scanpy as sc

        check_varying(*mean_variance_axis(logged, axis=0))
        if self.n_top_genes is None or self.n_top_genes >= logged.shape[1]:
            return np.arange(logged.shape[1])
        by_counts = self.hvg_flavor == "seurat_v3"
        if by_counts and counts is None:
            raise UserError("hvg_flavor=seurat_v3 needs counts, and these are log-normalised values: take seurat.")
        cells = AnnData(X=counts if by_counts else logged)
        try:
            sc.pp.highly_variable_genes(cells, n_top_genes=self.n_top_genes, flavor=self.hvg_flavor)
        except ValueError as error:  # too few genes for its bins, or for its regression
            raise UserError(f"hvg_flavor={self.hvg_flavor} fails on these cells ({error}): take another.") from error
        return np.flatnonzero(cells.var["highly_variable"].to_numpy())

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        import scanpy as sc

        if not self.scale:
            return x
        return np.asarray(sc.pp.scale(x, max_value=self.max_value), dtype=np.float32)

    def _assemble(
        self,
        adata: AnnData,
        x: np.ndarray,
        genes: np.ndarray,
        counts: sp.csr_matrix | None,
        size_factors: np.ndarray,
    ) -> AnnData:
        result = AnnData(X=x, obs=adata.obs.copy(), var=adata.var.iloc[genes].copy(), uns=dict(adata.uns))
        result.obs["size_factors"] = size_factors
        if counts is not None:
            result.layers["counts"] = counts
        return result

    def key(self, adata: AnnData) -> str:
        """Names a result in a cache: by these settings, and the values or the file (path, size, time) they are in."""
        what = (CACHE_FORMAT, version("scanpy"), self, adata.uns["kind"], adata.shape)
        state = hashlib.sha256(repr(what).encode())
        if is_backed(adata.X):
            state.update(repr(_files(adata.X)).encode())
            return state.hexdigest()[:24]
        x = canonical(adata.X)
        for part in (x.data, x.indices, x.indptr):
            state.update(np.ascontiguousarray(part).view(np.uint8).data)
        return state.hexdigest()[:24]


SCANPY = Preprocess(min_cells=3, target_sum=1e4, max_value=10.0)
"""As scanpy's tutorials do it."""


def _files(x: Any) -> list[Any]:
    """The name of a matrix in its file, and path, size and time of that file, or of each in a folder of zarr."""
    if hasattr(x, "numblocks"):  # dask's, whose name says all that
        return [x.name]
    node = getattr(x, "group", x)
    path = Path(node.file.filename if hasattr(node, "file") else node.store.root).resolve()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [node.name, *((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)]


def _with_values(x: sp.csr_matrix, values: np.ndarray) -> sp.csr_matrix:
    """A matrix with the same entries but other values; the indices are shared, not copied."""
    return sp.csr_matrix((values, x.indices, x.indptr), shape=x.shape)


def _seen(x: sp.csr_matrix, min_cells: int) -> np.ndarray:
    """Indices of the genes that are above 0 in at least `min_cells` cells."""
    return np.flatnonzero(np.bincount(x.indices[x.data > 0], minlength=x.shape[1]) >= min_cells)


def check_varying(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Which genes (n_genes,) vary, with room for rounding; none is a :class:`UserError`."""
    varies: np.ndarray = variance > 1e-9 * mean**2
    if not varies.any():
        raise UserError("No gene is left that varies between cells: give cells that differ.")
    return varies


def seurat_genes(mean: np.ndarray, variance: np.ndarray, n_top_genes: int) -> np.ndarray:
    """Indices of the genes that scanpy's flavor ``seurat`` chooses (Satija et al., Nat Biotechnol 2015).

    From mean and variance (n_genes,) of normalised values, which scanpy itself takes only from a whole matrix: the
    largest log dispersions, standardised within 20 bins of the log mean, and those that tie with the last.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = np.log(np.where(variance > 0, variance / mean, np.nan))
    of_bin = pd.Series(dispersion).groupby(pd.cut(np.log1p(mean), 20), observed=True)
    centre, spread = of_bin.transform("mean"), of_bin.transform("std")
    alone = spread.isna()  # in its bin: the dispersion itself is the spread, and 0 the centre
    score = ((dispersion - centre.mask(alone, 0)) / spread.mask(alone, centre)).to_numpy()
    known = np.sort(score[~np.isnan(score)])
    return np.flatnonzero(score >= known[-min(n_top_genes, len(known))])


def usable(cache: Path) -> Path:
    """The folder, made if need be, or a :class:`UserError`."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{cache} cannot be used as cache ({error.strerror}): choose another folder.") from error
    if not os.access(cache, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"{cache} cannot be used as cache (no permission): choose another folder.")
    return cache


def _save(path: Path, x: np.ndarray, genes: np.ndarray, counts: sp.csr_matrix | None, size_factors: np.ndarray) -> None:
    arrays: dict[str, Any] = {"x": x, "genes": genes, "size_factors": size_factors}
    if counts is not None:
        arrays |= {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr}
    with whole_file(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **arrays)


def _load(path: Path) -> tuple[np.ndarray, np.ndarray, sp.csr_matrix | None, np.ndarray] | None:
    """What :func:`_save` wrote, or None when there is nothing, or nothing good."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            x, genes, size_factors = file["x"], file["genes"], file["size_factors"]
            counts = None
            if "data" in file:
                counts = sp.csr_matrix((file["data"], file["indices"], file["indptr"]), shape=x.shape)
            return x, genes, counts, size_factors
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        log.warning("the cache file %s is damaged: computing anew", path)
        return None
