"""Moments over bands of cells, and the genes that they choose, against numpy and scanpy."""

from collections.abc import Callable, Iterator
from itertools import product

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells
from jojoscl.cells.genes import (
    mean_variance,
    median_trend,
    robust_v3_genes,
    seurat_genes,
    seurat_v3_genes,
)
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.simulate import simulate
from tests.small import assert_refused


def test_moments_over_bands_equal_those_of_the_whole_matrix_to_the_bit(subtests):
    for band in [1, 7, 60]:
        with subtests.test(band=band):
            x = sp.random(60, 9, density=0.4, format="csr", rng=0, dtype=np.float32)
            dense = x.toarray()
            mean, variance = mean_variance(x[start : start + band] for start in range(0, 60, band))
            np.testing.assert_array_equal(mean, dense.mean(0, dtype=np.float64))
            np.testing.assert_allclose(variance, dense.var(0, ddof=1), rtol=1e-5)


def test_genes_that_tie_with_the_last_are_kept_as_in_scanpy(by_scanpy):
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


def test_a_rule_of_scanpy_that_fails_is_one_sentence():
    def chosen(n_genes: int) -> None:
        x = np.random.default_rng(0).poisson(3.0, (50, n_genes + 1))
        x[:, -1] = 7  # a gene that does not vary is of no help
        seurat_v3_genes(sp.csr_matrix(x.astype(np.float32)), 1)

    few = {2: "fewer", 3: "fewer than 4 genes", 4: "these cells"}
    words = "hvg_flavor=seurat_v3 fails on {}.*: take another"
    assert_refused(chosen, *[(n, words.format(part)) for n, part in few.items()])


def test_rare_genes_that_stop_a_loess_are_left_out():
    rng = np.random.default_rng(0)
    common = rng.negative_binomial(1, 1 / (1 + rng.gamma(0.5, 0.5, 100)), (100, 100))
    rare = np.zeros((100, 200))
    rare[rng.integers(0, 100, 200), np.arange(200)] = 1  # each in one cell
    common = common[:, (common > 0).sum(0) >= 3]
    x = sp.csr_matrix(np.c_[rare, common].astype(np.float32))
    with pytest.raises(ValueError, match="svddc failed"):
        sc.pp.highly_variable_genes(AnnData(x), n_top_genes=20, flavor="seurat_v3")
    expected = seurat_v3_genes(x[:, 200:], 20)
    assert len(expected) == 20
    np.testing.assert_array_equal(seurat_v3_genes(x, 20), 200 + expected)


# ---- counts that vary beyond a trend of medians --------------------------------------------------


def in_bands(x: sp.csr_matrix, band: int) -> Callable[[], list[sp.csr_matrix]]:
    return lambda: [x[start : start + band] for start in range(0, x.shape[0], band)]


def robust_by_hand(x: np.ndarray, n_top: int) -> np.ndarray:
    """The same rule on a dense matrix (n, genes), as its definition has it."""
    n, mean, variance = len(x), x.mean(0), x.var(0, ddof=1)
    varies = variance > 0
    sd = np.ones(x.shape[1])
    sd[varies] = 10 ** (median_trend(np.log10(mean[varies]), np.log10(variance[varies])) / 2)
    clipped = np.minimum((x - mean) / sd, n**0.5)
    return np.sort(
        np.argsort(-np.where(varies, (clipped**2).sum(0) / (n - 1), 0), kind="stable")[:n_top]
    )


@pytest.fixture(scope="module")
def sparse_cells() -> AnnData:
    return simulate(150, 400, 4, library_size=600.0, seed=3)


def test_robust_genes_over_bands_equal_those_of_the_definition(sparse_cells, subtests):
    for band, n_top in product([1, 37, 150], [20, 150]):
        with subtests.test(band=band, n_top=n_top):
            x = sparse_cells.X.tocsr()
            found = robust_v3_genes(in_bands(x, band), x.shape, n_top)
            np.testing.assert_array_equal(
                found, robust_by_hand(x.toarray().astype(np.float64), n_top)
            )


def test_a_gene_that_few_cells_have_much_of_is_the_first(sparse_cells):
    x = sparse_cells.X.toarray()
    x[:, 7] = np.where(np.arange(150) < 15, 40, 0)
    x = sp.csr_matrix(x)
    assert 7 in robust_v3_genes(in_bands(x, 150), x.shape, 3)
    assert 7 in seurat_v3_genes(x, 3)


def test_robust_genes_never_fail(subtests):
    """Where a loess crashes: hardly any genes, some that do not vary, one that nobody has."""
    for n_genes in [1, 2, 3, 30]:
        with subtests.test(n_genes=n_genes):
            x = np.random.default_rng(0).poisson(0.3, (50, n_genes + 2))
            x[:, 0], x[:, 1] = 0, 4
            found = robust_v3_genes(
                in_bands(sp.csr_matrix(x.astype(np.float32)), 50), x.shape, n_genes
            )
            np.testing.assert_array_equal(found, np.arange(2, n_genes + 2))


def test_robust_genes_of_a_file_are_those_in_memory(sparse_cells, tmp_path):
    AnnData(sparse_cells.X).write_h5ad(tmp_path / "x.h5ad")
    chosen = Preprocess(n_top_genes=60, hvg_flavor="robust_v3")
    in_file = chosen(as_cells(ad.read_h5ad(tmp_path / "x.h5ad", backed="r")))
    in_memory = chosen(as_cells(AnnData(sparse_cells.X)))
    np.testing.assert_array_equal(in_file.genes, in_memory.genes)
    np.testing.assert_array_equal(in_file.zscores(), in_memory.zscores())


def test_robust_genes_of_logarithms_are_those_of_what_they_are_logarithms_of(sparse_cells):
    x = sparse_cells.X.multiply(1e3 / sparse_cells.X.sum(1)).tocsr().astype(np.float32)
    logged = as_cells(AnnData(x.log1p()), kind="log1p")
    found = Preprocess(n_top_genes=60, hvg_flavor="robust_v3")(logged)
    expected = robust_v3_genes(in_bands(x, 150), x.shape, 60)
    assert len(np.intersect1d(found.genes, expected)) >= 59  # expm1 of float32 rounds


def test_the_trend_is_one_of_medians():
    x = np.linspace(-2, 2, 400)
    y = 2 * x + np.random.default_rng(0).normal(0, 0.05, 400)
    y[::10] += 30  # outliers, which a mean would follow
    inside = np.abs(x) < 1.5
    np.testing.assert_allclose(median_trend(x, y)[inside], 2 * x[inside], atol=0.15)
    np.testing.assert_allclose(median_trend(x, np.full(400, 3.0)), 3)
    assert np.isfinite(median_trend(x[:1], y[:1])).all()


def test_a_gene_that_varies_only_between_samples_does_not_count():
    rng = np.random.default_rng(0)
    samples = np.repeat([0, 1], 200)
    rate = np.full((400, 100), 2.0)
    rate[:, :10] *= rng.gamma(0.5, 2, (400, 10))  # these vary in each sample
    rate[200:, 10:20] *= 20  # and these between them
    x = sp.csr_matrix(rng.poisson(rate).astype(np.float32))

    def bands() -> Iterator[sp.csr_matrix]:
        return (x[start : start + 70].copy() for start in range(0, 400, 70))

    assert set(robust_v3_genes(bands, (len(samples), 100), 10, samples)) == set(range(10))
    assert set(robust_v3_genes(bands, (len(samples), 100), 10)) != set(range(10))


def test_one_sample_chooses_the_same_genes_as_none():
    x = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (50, 40)).astype(np.float32))
    found = robust_v3_genes(lambda: [x.copy()], (50, 40), 15, np.zeros(50, int))
    np.testing.assert_array_equal(found, robust_v3_genes(lambda: [x.copy()], (50, 40), 15))
