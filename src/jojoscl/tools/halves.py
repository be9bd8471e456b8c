"""Counts split into two independent halves, so that one can make what the other tests.

Each count x of gene j is split by a beta-binomial, A | x ~ BetaBinomial(x, r_j / 2, r_j / 2) and B
= x - A. Where the count is negative binomial with variance mu + mu^2 / r_j, the halves are
independent negative binomials of half the mean (Neufeld, Dharamshi, Gao & Witten, "Data thinning
for convolution-closed distributions", JMLR 2024). The plain binomial, r_j infinite, is right for
Poisson counts only: with overdispersed ones a cell that is high by chance is so in both.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

BAND = 1 << 16  # entries that are drawn at a time: they stay in the processor's cache


def halves(counts: sp.csr_matrix, *, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return two CSR matrices (n, n_genes) float32 that add up to `counts`."""
    rng, of_gene = np.random.default_rng(seed), dispersion(counts)
    first, second, share = counts.copy(), counts.copy(), np.full(counts.nnz, 0.5)
    bands = [slice(start, start + BAND) for start in range(0, counts.nnz, BAND)]
    for band in bands:
        of_entry = of_gene[counts.indices[band]]
        over = of_entry > 0
        share[band][over] = rng.beta(0.5 / of_entry[over], 0.5 / of_entry[over])
    for band in bands:
        first.data[band] = rng.binomial(counts.data[band].astype(np.int64), share[band])
    second.data -= first.data
    for half in (first, second):
        half.eliminate_zeros()
    return first, second


def dispersion(counts: sp.csr_matrix) -> np.ndarray:
    """Return 1 / r_j (n_genes,) over all cells, given their totals: the larger of two estimates.

    The first is by the variance; it leaves a gene's halves uncorrelated whatever its distribution.
    The second is by how often the gene is zero: where counts are lost, uncorrelated halves would
    still be zero together. What differs between cell types counts as dispersion too. So a single
    gene never tells two groups apart; several that vary together do.
    """
    x = counts.astype(np.float64)
    totals, of_gene = np.asarray(x.sum(1)).ravel(), np.asarray(x.sum(0)).ravel()
    share = of_gene / totals.sum()
    squares, with_total = share**2 * np.square(totals).sum(), x.T @ totals
    x.data *= x.data
    excess = np.asarray(x.sum(0)).ravel() - 2 * share * with_total + squares - of_gene
    by_variance = np.maximum(excess / np.maximum(squares, 1e-300), 0)
    zero = 1 - np.bincount(counts.indices, counts.data > 0, counts.shape[1]) / counts.shape[0]
    return np.maximum(by_variance, _by_zeros(zero, share, totals))


def _by_zeros(zero: np.ndarray, share: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the dispersion (n_genes,) at which zeros are as frequent as seen, by bisection."""
    mean = np.quantile(totals, (np.arange(10) + 0.5) / 10)[:, None] * share
    low, high = np.full(len(share), 1e-6), np.full(len(share), 1e4)
    for _ in range(40):
        middle = np.sqrt(low * high)
        above = np.exp(-np.log1p(middle * mean) / middle).mean(0) > zero
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where((low < 2e-6) | (share == 0), 0, low)
