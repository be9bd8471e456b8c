"""Halves of counts are independent of each other, for Poisson and for overdispersed counts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from jojoscl.datasets.simulate import simulate
from jojoscl.tools.halves import dispersion, halves


def test_halves_add_up_to_the_counts(cells) -> None:
    first, second = halves(cells.X, seed=0)
    assert (first + second != cells.X).nnz == 0
    assert first.data.min() >= 1
    assert second.data.min() >= 1
    assert first.dtype == second.dtype == np.float32
    assert abs(first.sum() / cells.X.sum() - 0.5) < 0.02


def test_the_seed_decides_and_the_counts_stay(cells) -> None:
    before = cells.X.copy()
    one, two, other = (halves(cells.X, seed=seed)[0] for seed in (0, 0, 1))
    assert (one != two).nnz == 0
    assert (one != other).nnz > 0
    assert (before != cells.X).nnz == 0


def correlations(first: sp.csr_matrix, second: sp.csr_matrix) -> np.ndarray:
    a, b = (half.toarray() for half in (first, second))
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)])


@pytest.mark.parametrize("known", [0.0, 0.5, 2.0])
def test_halves_are_uncorrelated_where_a_binomial_leaves_them_correlated(known: float) -> None:
    counts = sp.csr_matrix(
        simulate(3000, 100, 1, dispersion=known, dropout=0, library_sd=0, seed=2).X
    )
    assert abs(correlations(*halves(counts, seed=0)).mean()) < 0.02
    kept = counts.copy()
    kept.data = np.random.default_rng(0).binomial(counts.data.astype(int), 0.5).astype(np.float32)
    binomial = correlations(kept, counts - kept).mean()
    assert binomial > 0.1 if known else abs(binomial) < 0.02


@pytest.mark.parametrize("known", [0.0, 0.3, 1.0])
def test_the_dispersion_is_found_in_spite_of_library_sizes(known: float) -> None:
    counts = simulate(5000, 50, 1, dispersion=known, dropout=0, library_size=800, seed=1).X
    assert np.median(dispersion(counts)) == pytest.approx(known, abs=0.05)


def test_the_dispersion_of_a_gene_without_counts_or_without_zeros() -> None:
    counts = sp.csr_matrix(np.array([[0, 5, 1], [0, 5, 0], [0, 5, 9]], np.float32))
    found = dispersion(counts)
    assert np.isfinite(found).all()
    assert found[0] == 0
    assert found[2] > found[1]
