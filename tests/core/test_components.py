"""Principal components against the whole decomposition, residuals of counts against scanpy's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.core.components import (
    leading_axes,
    pearson_residuals,
    principal_components,
    unit_rows,
    unit_scale,
)
from jojoscl.datasets.simulate import simulate

X = np.random.default_rng(0).standard_normal((30, 12)).astype(np.float32)
U, S, V = np.linalg.svd(X - X.mean(0), full_matrices=False)


def test_principal_components_equal_the_svd() -> None:
    np.testing.assert_allclose(
        np.abs(principal_components(X, 4, seed=0)), np.abs(U[:, :4] * S[:4]), atol=1e-4
    )
    assert principal_components(X, 50, seed=0).shape == (30, 11)


def test_leading_axes_are_the_right_singular_vectors() -> None:
    found = leading_axes(X - X.mean(0), 4, seed=0)
    np.testing.assert_allclose(np.abs(found), np.abs(V[:4].T), atol=1e-4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, leading_axes(X - X.mean(0), 4, seed=0))


@pytest.mark.parametrize(("shape", "d"), [((30, 12), 12), ((5, 12), 4), ((2, 12), 1), ((30, 1), 1)])
def test_there_are_no_more_axes_than_dimensions(shape: tuple[int, int], d: int) -> None:
    assert leading_axes(X[: shape[0], : shape[1]], 100, seed=0).shape == (shape[1], d)


def test_scales() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0, 0]])
    assert unit_scale(rows) == pytest.approx(np.sqrt(12.5))
    assert unit_scale(np.zeros((3, 2))) > 0


@pytest.mark.parametrize("theta", [100.0, 1.0])
def test_pearson_residuals_are_scanpys(theta: float) -> None:
    counts = simulate(60, 80, 3, seed=2).X
    counts = counts[:, np.asarray(counts.sum(0)).ravel() > 0]
    expected = AnnData(counts.copy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.experimental.pp.normalize_pearson_residuals(expected, theta=theta)
    found = pearson_residuals(counts, np.asarray(counts.sum(1)).ravel(), theta)
    np.testing.assert_allclose(found, expected.X, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= np.float32(60**0.5)


def test_the_residuals_of_some_genes_are_those_of_all() -> None:
    counts = simulate(60, 80, 3, seed=2).X
    totals = np.asarray(counts.sum(1)).ravel()
    whole = pearson_residuals(counts, totals, 100.0)
    np.testing.assert_allclose(
        pearson_residuals(counts[:, 10:30], totals, 100.0), whole[:, 10:30], rtol=1e-6
    )


def test_a_gene_without_counts_has_residuals_of_zero() -> None:
    counts = sp.csr_matrix(np.array([[2.0, 0.0], [5.0, 0.0]]))
    np.testing.assert_array_equal(pearson_residuals(counts, np.array([2.0, 5.0]), 100.0)[:, 1], 0)
