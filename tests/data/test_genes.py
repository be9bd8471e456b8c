"""Moments over bands of cells, and the genes that they choose, against numpy and scanpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.data import Preprocess, as_cells, simulate
from jojoscl.data.genes import Moments, scanpy_genes, seurat_genes, varying
from jojoscl.utils.errors import UserError


@pytest.mark.parametrize("band", [1, 7, 60])
def test_moments_are_those_of_the_whole_matrix_to_the_bit_whatever_the_bands(band: int) -> None:
    x = sp.random(60, 9, density=0.4, format="csr", rng=0, dtype=np.float32)
    moments = Moments(9)
    for start in range(0, 60, band):
        part = x[start : start + band]
        moments.add(part, part.data)
    dense = x.toarray()
    mean, variance = moments.mean_variance()
    np.testing.assert_array_equal(mean, dense.mean(0, dtype=np.float64))
    np.testing.assert_allclose(variance, dense.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_array_equal(moments.seen, (dense > 0).sum(0))


def test_which_genes_vary() -> None:
    assert varying(np.array([1e6, 1.0, 0.0]), np.array([1.0, 1.0, 0.0])).tolist() == [False, True, False]
    with pytest.raises(UserError, match="No gene is left that varies"):
        varying(np.ones(3), np.full(3, 1e-16))


def test_genes_that_tie_with_the_last_are_kept_as_in_scanpy(by_scanpy: Callable[..., AnnData]) -> None:
    x = simulate(150, 400, 4, library_size=600.0, seed=3).X.toarray()
    x = x[:, x.max(0) > 0]
    x[:, 50] = x[:, 51] = x[:, 52]
    normalised = x.astype(float) / x.sum(1, keepdims=True) * np.median(x.sum(1))
    moments = normalised.mean(0), normalised.var(0, ddof=1)
    cells, sizes = as_cells(AnnData(sp.csr_matrix(x))), set()
    for n_top in range(5, 200, 5):
        chosen = seurat_genes(*moments, n_top)
        expected = by_scanpy(Preprocess(n_top_genes=n_top), cells)
        assert expected.var_names.tolist() == [str(gene) for gene in chosen]
        sizes.add(len(chosen) - n_top)
    assert sizes > {0}, "some cut is at a tie"


def test_a_rule_of_scanpy_that_fails_is_told() -> None:
    x = sp.csr_matrix(np.random.default_rng(0).poisson(3.0, (4, 3)).astype(np.float32))
    with pytest.raises(UserError, match=r"hvg_flavor=seurat_v3 fails on these cells .*: take another"):
        scanpy_genes(x, 2, "seurat_v3")
