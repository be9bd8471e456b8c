"""Preprocessing against the same steps written out in plain numpy, and its edges."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.simulate import simulate
from tests.small import assert_refused


@pytest.fixture(scope="module")
def adata():
    return simulate(150, 400, 4, library_size=600.0, seed=3)


def dense_reference(x, n_top_genes):
    """The released steps in float64: ceil, used genes, median size factor, log1p, 'seurat' HVG, z-score."""
    x = np.ceil(np.asarray(x, dtype=np.float64))
    used = np.flatnonzero(x.sum(axis=0) > 0)
    x = x[:, used]
    size_factors = x.sum(axis=1) / np.median(x.sum(axis=1))
    normalised = x / size_factors[:, None]
    mean, variance = normalised.mean(axis=0), normalised.var(axis=0, ddof=1)
    with np.errstate(divide="ignore"):
        dispersion = np.log(np.where(variance > 0, variance / mean, np.nan))
    mean = np.log1p(mean)
    edges = np.linspace(mean.min(), mean.max(), 21)
    group = np.clip(np.searchsorted(edges, mean, side="left") - 1, 0, 19)
    score = np.full(len(mean), -np.inf)
    for k in np.unique(group):
        values = dispersion[group == k]
        known = values[~np.isnan(values)]
        if len(known) > 1:
            centre, spread = known.mean(), known.std(ddof=1)
        else:  # alone in its bin: scanpy takes its dispersion for the spread and 0 for the mean
            centre, spread = 0.0, known.sum()
        score[group == k] = np.where(np.isnan(values), -np.inf, (values - centre) / spread)
    chosen = np.sort(np.argsort(-score, kind="stable")[:n_top_genes])
    logged = np.log1p(normalised[:, chosen])
    z = (logged - logged.mean(axis=0)) / logged.std(axis=0, ddof=1)
    return z, used[chosen], size_factors, x[:, chosen]


def test_released_steps_equal_plain_numpy(adata, subtests):
    for kind in ["counts", "rpkm"]:
        with subtests.test(kind=kind):
            x = adata.X.toarray()
            if kind == "rpkm":
                x = x * np.random.default_rng(0).uniform(0.3, 1.0, x.shape)
            x[:, 5] = 0
            source = as_cells(AnnData(sp.csr_matrix(x)), kind=kind)
            result = dataclasses.replace(Preprocess(), n_top_genes=100)(source)
            z, genes, size_factors, counts = dense_reference(source.X.toarray(), 100)
            np.testing.assert_array_equal(result.genes, genes)
            np.testing.assert_array_equal(result.names, source.var_names[genes])
            assert result.zscores().dtype == np.float32
            np.testing.assert_allclose(result.zscores(), z, atol=2e-4)
            np.testing.assert_allclose(result.size_factors, size_factors, rtol=1e-5)
            np.testing.assert_array_equal(result.counts().toarray(), counts)
            assert result.kind == kind
            assert result.rounded is (kind == "rpkm")


def test_the_input_is_not_changed(adata):
    before = adata.copy()
    Preprocess()(adata)
    Preprocess(round_counts=False, n_top_genes=None, min_cells=0)(adata)
    assert (adata.X != before.X).nnz == 0
    assert list(adata.obs) == list(before.obs)


def test_log_normalised_data_enter_at_the_choice_of_genes(adata):
    totals = adata.X.sum(axis=1).A1
    logged = sp.csr_matrix(adata.X.multiply(np.median(totals) / totals[:, None]).log1p())
    settings = dataclasses.replace(Preprocess(), n_top_genes=100)
    from_logged = settings(as_cells(AnnData(logged), kind="log1p"))
    from_counts = settings(as_cells(AnnData(adata.X), kind="counts"))
    np.testing.assert_array_equal(from_logged.genes, from_counts.genes)
    np.testing.assert_allclose(from_logged.zscores(), from_counts.zscores(), atol=1e-4)
    assert (from_logged.size_factors == 1).all()


def test_settings_do_what_they_say(adata):
    plain = Preprocess(n_top_genes=None)
    x = plain(adata).logs()
    assert x.shape == (150, np.count_nonzero(np.ptp(adata.X.toarray(), axis=0)))
    np.testing.assert_allclose(
        np.expm1(x).sum(axis=1), np.median(adata.X.sum(axis=1).A1), rtol=1e-4
    )
    to_sum = dataclasses.replace(plain, target_sum=1e4)(adata).logs()
    np.testing.assert_allclose(np.expm1(to_sum).sum(axis=1), 1e4, rtol=1e-4)
    clipped = Preprocess(max_value=1.5)(adata).zscores()
    assert np.abs(clipped).max() == pytest.approx(1.5)
    frequent = dataclasses.replace(plain, min_cells=40)(adata)
    seen = (adata.X.toarray() > 0).sum(axis=0)
    assert list(frequent.names) == list(adata.var_names[seen >= 40])


def test_runs_keep_their_names():
    """Two settings that are gone are still named among those that decide."""
    assert Preprocess().decisive() == {
        "round_counts": True, "min_cells": 1, "target_sum": None, "log1p": True, "n_top_genes": 2000,
        "hvg_flavor": "seurat", "scale": True, "max_value": None, "dense_gib": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["counts", "log1p", "rpkm"])
def test_it_is_scanpys_to_the_bit(adata, by_scanpy, subtests, kind):
    """Each setting with each kind; from a file and in memory by turns, the other way for logarithms."""
    x = adata.X.copy()
    if kind != "counts":
        x.data *= np.random.default_rng(0).uniform(0.3, 1, x.nnz)
    if kind == "rpkm":
        x.data *= 3  # half of the values are above 1
    cells = as_cells(AnnData(x.log1p() if kind == "log1p" else x), kind=kind)
    for i, settings in enumerate([
        {}, {}, {"max_value": None}, {"target_sum": 1e4}, {"n_top_genes": None}, {"min_cells": 2},
        {"min_cells": 60}, {"min_cells": 0, "n_top_genes": None}, {"round_counts": False},
        *[{"hvg_flavor": "seurat_v3"}] * 2 * (kind == "counts"),
    ]):  # fmt: skip
        in_memory = (i + (kind == "log1p")) % 2
        plain = {"n_top_genes": 100, "max_value": 3.0, "dense_gib": 0.5 * in_memory}
        chosen = Preprocess(**(plain | settings))
        with subtests.test(settings=settings, dense_gib=chosen.dense_gib):
            expected, found = by_scanpy(chosen, cells), chosen(cells)
            assert list(found.names) == expected.var_names.tolist()
            np.testing.assert_array_equal(found.zscores(), expected.X)
            sizes = expected.obs["size_factors"]
            np.testing.assert_allclose(found.size_factors, sizes, rtol=1e-6)


def test_the_bits_do_not_depend_on_the_bands(adata, monkeypatch, subtests):
    for band in [1, 13, 1000]:
        with subtests.test(band=band):
            expected = Preprocess(n_top_genes=100)(adata)
            monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 400 * 32 * band)
            found = Preprocess(n_top_genes=100)(adata)
            np.testing.assert_array_equal(found.genes, expected.genes)
            np.testing.assert_array_equal(found.zscores(), expected.zscores())


def test_values_below_one_are_not_rounded_up(adata):
    """Proportions, and counts by volume, would all become 1."""
    shares = sp.csr_matrix(adata.X.multiply(1 / adata.X.sum(axis=1)))
    found = Preprocess(n_top_genes=100)(as_cells(AnnData(shares), kind="rpkm"))
    assert not found.rounded
    assert found.counts().data.max() < 1
    x = adata.X.copy()
    x.data = x.data * 2 + np.float32(5e-7)
    counts = Preprocess(n_top_genes=100)(as_cells(AnnData(x), kind="rpkm")).counts()
    np.testing.assert_array_equal(np.unique(counts.data % 2), [0])  # 6.0000005 is 6, not 7


def test_constant_genes_are_dropped():
    x = np.random.default_rng(0).poisson(2.0, (30, 6)) + 1
    x[:, 5] += 60 - x.sum(axis=1)  # all totals equal, so that a constant count stays constant
    x = np.hstack([x, np.full((30, 2), 7), np.zeros((30, 1), int)])
    result = Preprocess()(as_cells(AnnData(sp.csr_matrix(x))))
    assert list(result.names) == list("012345")
    np.testing.assert_allclose(result.zscores().std(axis=0, ddof=1), 1, rtol=1e-4)


def test_tiny_sets(subtests):
    for n_cells, n_genes, top in [(2, 2, 1), (3, 5, 4), (90, 3, 2)]:
        with subtests.test(n_cells=n_cells):
            x = np.random.default_rng(1).poisson(3.0, (n_cells, n_genes)) + np.eye(
                n_cells, n_genes, dtype=int
            )
            x[:, 0] += 1
            result = Preprocess(n_top_genes=top)(as_cells(AnnData(sp.csr_matrix(x))))
            assert len(result) == n_cells
            assert 1 <= result.n_genes <= n_genes
            assert np.isfinite(result.zscores()).all()


def test_a_cell_with_only_rare_genes_stays():
    x = np.random.default_rng(0).poisson(3.0, (40, 10))
    x[0], x[0, 9], x[1:, 9] = 0, 5, 0
    result = Preprocess(min_cells=3)(as_cells(AnnData(sp.csr_matrix(x))))
    assert len(result) == 40
    assert np.isfinite(result.zscores()).all()
    assert np.isfinite(result.size_factors).all()
    assert (result.size_factors > 0).all()


def test_unsorted_input_gives_the_same():
    x = sp.csr_matrix(simulate(40, 30, 2).X)
    shuffled = x.copy()
    for i in range(40):
        row = slice(*shuffled.indptr[i : i + 2])
        shuffled.indices[row], shuffled.data[row] = (
            shuffled.indices[row][::-1].copy(),
            shuffled.data[row][::-1].copy(),
        )
    shuffled.has_sorted_indices = False
    first, second = (
        Preprocess(n_top_genes=20)(as_cells(AnnData(matrix))) for matrix in (x, shuffled)
    )
    np.testing.assert_array_equal(first.zscores(), second.zscores())
    np.testing.assert_array_equal(first.counts().toarray(), second.counts().toarray())


def test_refused():
    counts = np.random.default_rng(0).poisson(2.0, (10, 4)) + 1
    logs = np.random.default_rng(0).random((10, 4))

    def preprocessed(given):
        x, settings = given
        kind = "auto" if x.dtype.kind == "i" else "log1p"
        Preprocess(**settings)(as_cells(AnnData(sp.csr_matrix(x, dtype=np.float32)), kind=kind))

    assert_refused(
        preprocessed,
        ((np.full((10, 4), 3), {}), "No gene is left that varies"),
        ((counts, {"min_cells": 11}), "No gene is seen in 11 cells"),
        ((np.log1p(np.full((10, 4), 3)), {}), "No gene is left that varies"),
        ((logs, {"hvg_flavor": "seurat_v3", "n_top_genes": 2}), "needs counts"),
    )


def test_wrong_settings():
    assert_refused(
        lambda settings: Preprocess(**settings),
        ({"n_top_genes": 0}, "must be at least 1"),
        ({"hvg_flavor": "seurat_v4"}, "did you mean 'seurat_v3'"),
        ({"round_counts": "yes"}, "must be bool"),
        ({"target_sum": 0}, "must be at least 1"),
    )
