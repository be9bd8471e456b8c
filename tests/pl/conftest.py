"""Clustered cells, and pictures that no one sees."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import pytest
from anndata import AnnData

import jojoscl

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def adata(cells: AnnData) -> AnnData:
    adata = cells.copy()
    jojoscl.cluster(adata, 3, n_draws=1)
    jojoscl.split_tests(adata, method=jojoscl.JojoSCL(n_draws=1))
    adata.obsm["X_jojoscl_umap"] = adata.obsm["X_jojoscl"][:, :2]
    return adata
