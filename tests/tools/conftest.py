"""The cells and the methods that several rooms test with, and clustered cells."""

import pytest
from anndata import AnnData

import jojoscl
from tests.small import bare, cells, method, quiet

__all__ = ["bare", "cells", "method", "quiet"]


@pytest.fixture
def adata(cells: AnnData) -> AnnData:
    """Return the cells with three clusters."""
    adata = cells.copy()
    jojoscl.cluster(adata, 3, n_draws=1)
    return adata
