"""The preprocessing as scanpy itself does it, on a whole matrix in memory: what ours has to equal."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData

from jojoscl.cells.preprocess import Preprocess


@pytest.fixture(scope="session")
def by_scanpy() -> Callable[[Preprocess, AnnData], AnnData]:
    return _by_scanpy


def _by_scanpy(settings: Preprocess, cells: AnnData) -> AnnData:
    x, logged = cells.X.copy(), cells.uns["kind"] == "log1p"
    if settings.round_counts and not logged:
        x.data = np.ceil(x.data)
    result = AnnData(X=x, var=cells.var[[]].copy(), obs=cells.obs[[]].copy())
    result = result[:, np.asarray((x > 0).sum(0)).ravel() >= settings.min_cells].copy()
    totals = np.asarray(result.X.sum(1), np.float64).ravel()
    totals[totals == 0] = 1
    result.obs["size_factors"] = np.ones_like(totals) if logged else totals / np.median(totals)
    result.layers["counts"] = result.X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not logged:
            sc.pp.normalize_total(result, target_sum=settings.target_sum)
        log = AnnData(X=result.X.copy() if logged else sc.pp.log1p(result.X, copy=True))
        by = AnnData(X=result.layers["counts"]) if settings.hvg_flavor == "seurat_v3" else log
        if settings.n_top_genes and settings.n_top_genes < result.n_vars:
            sc.pp.highly_variable_genes(
                by, n_top_genes=settings.n_top_genes, flavor=settings.hvg_flavor
            )
            chosen = by.var["highly_variable"].to_numpy()
        else:
            chosen = np.ones(result.n_vars, bool)
        result.X = log.X
        result = result[:, chosen].copy()
        result.X = result.X.toarray()
        result = result[:, result.X.max(0) > result.X.min(0)].copy()
        result.X = sc.pp.scale(result.X, max_value=settings.max_value)
    return result
