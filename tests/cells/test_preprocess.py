"""Preprocessing against the same steps written out in plain numpy, its cache, and its edges."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError


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
        of_bin = group == k
        values = dispersion[of_bin]
        centre, spread = (
            np.nanmean(values),
            np.nanstd(values, ddof=1) if (~np.isnan(values)).sum() > 1 else np.nan,
        )
        if np.isnan(
            spread
        ):  # alone in its bin: scanpy takes the dispersion for the spread and 0 for the mean
            spread, centre = centre, 0.0
        score[of_bin] = np.where(np.isnan(values), -np.inf, (values - centre) / spread)
    chosen = np.sort(np.argsort(-score, kind="stable")[:n_top_genes])
    logged = np.log1p(normalised[:, chosen])
    return (
        (logged - logged.mean(axis=0)) / logged.std(axis=0, ddof=1),
        used[chosen],
        size_factors,
        x[:, chosen],
    )


@pytest.mark.parametrize("kind", ["counts", "rpkm"])
def test_released_steps_equal_plain_numpy(adata, kind):
    x = adata.X.toarray()
    if kind == "rpkm":
        x = x * np.random.default_rng(0).uniform(0.3, 1.0, x.shape)
    x[:, 5] = 0
    source = as_cells(AnnData(sp.csr_matrix(x)), kind=kind)
    result = dataclasses.replace(Preprocess(), n_top_genes=100)(source)
    z, genes, size_factors, counts = dense_reference(source.X.toarray(), 100)
    assert list(result.var_names) == [str(gene) for gene in genes]
    assert isinstance(result.X, np.ndarray)
    assert result.X.dtype == np.float32
    np.testing.assert_allclose(result.X, z, atol=2e-4)
    np.testing.assert_allclose(result.obs["size_factors"], size_factors, rtol=1e-5)
    np.testing.assert_array_equal(result.layers["counts"].toarray(), counts)
    assert list(result.obs_names) == list(source.obs_names)
    assert result.uns["kind"] == kind


def test_the_input_stays_as_it_is(adata):
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
    assert list(from_logged.var_names) == list(from_counts.var_names)
    np.testing.assert_allclose(from_logged.X, from_counts.X, atol=1e-4)
    assert "counts" not in from_logged.layers
    assert (from_logged.obs["size_factors"] == 1).all()


def test_settings_do_what_they_say(adata):
    plain = Preprocess(n_top_genes=None, scale=False)
    x = plain(adata).X
    assert x.shape == (150, np.count_nonzero(np.ptp(adata.X.toarray(), axis=0)))
    np.testing.assert_allclose(
        np.expm1(x).sum(axis=1), np.median(adata.X.sum(axis=1).A1), rtol=1e-4
    )
    to_sum = dataclasses.replace(plain, target_sum=1e4)(adata).X
    np.testing.assert_allclose(np.expm1(to_sum).sum(axis=1), 1e4, rtol=1e-4)
    linear = dataclasses.replace(plain, log1p=False)(adata).X
    np.testing.assert_allclose(linear, np.expm1(x), rtol=1e-4, atol=1e-4)
    clipped = Preprocess(max_value=1.5)(adata).X
    assert np.abs(clipped).max() == pytest.approx(1.5)
    frequent = dataclasses.replace(plain, min_cells=40)(adata)
    seen = (adata.X.toarray() > 0).sum(axis=0)
    assert list(frequent.var_names) == list(adata.var_names[seen >= 40])


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger", "seurat_v3"])
@pytest.mark.parametrize("log1p", [True, False])
def test_flavours_are_scanpys(adata, by_scanpy, flavor, log1p):
    settings = Preprocess(n_top_genes=60, hvg_flavor=flavor, log1p=log1p)
    result, expected = settings(adata), by_scanpy(settings, adata)
    assert 60 <= result.n_vars <= 62, "scanpy keeps genes that tie with the last"
    assert result.var_names.tolist() == expected.var_names.tolist()
    np.testing.assert_array_equal(result.X, expected.X)
    assert (result.layers["counts"] != expected.layers["counts"]).nnz == 0


def test_genes_do_not_depend_on_taking_the_logarithm(adata):
    logged, linear = (Preprocess(n_top_genes=60, log1p=log1p)(adata) for log1p in (True, False))
    assert list(logged.var_names) == list(linear.var_names)


def test_constant_genes_are_dropped():
    x = np.random.default_rng(0).poisson(2.0, (30, 6)) + 1
    x[:, 5] += 60 - x.sum(axis=1)  # all totals equal, so that a constant count stays constant
    x = np.hstack([x, np.full((30, 2), 7), np.zeros((30, 1), int)])
    result = Preprocess()(as_cells(AnnData(sp.csr_matrix(x))))
    assert list(result.var_names) == list("012345")
    np.testing.assert_allclose(result.X.std(axis=0, ddof=1), 1, rtol=1e-4)


@pytest.mark.parametrize(("n_cells", "n_genes", "top"), [(2, 2, 1), (3, 5, 4), (90, 3, 2)])
def test_tiny_sets(n_cells, n_genes, top):
    x = np.random.default_rng(1).poisson(3.0, (n_cells, n_genes)) + np.eye(
        n_cells, n_genes, dtype=int
    )
    x[:, 0] += 1
    result = Preprocess(n_top_genes=top)(as_cells(AnnData(sp.csr_matrix(x))))
    assert result.n_obs == n_cells
    assert 1 <= result.n_vars <= n_genes
    assert np.isfinite(result.X).all()


def test_a_cell_with_only_rare_genes_stays():
    x = np.random.default_rng(0).poisson(3.0, (40, 10))
    x[0], x[0, 9], x[1:, 9] = 0, 5, 0
    result = Preprocess(min_cells=3)(as_cells(AnnData(sp.csr_matrix(x))))
    assert result.n_obs == 40
    assert np.isfinite(result.X).all()
    assert np.isfinite(result.obs["size_factors"]).all()
    assert (result.obs["size_factors"] > 0).all()


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
    np.testing.assert_array_equal(first.X, second.X)
    np.testing.assert_array_equal(
        first.layers["counts"].toarray(), second.layers["counts"].toarray()
    )


@pytest.mark.parametrize(
    ("build", "settings", "words"),
    [
        (lambda: np.full((10, 4), 3), {}, "No gene is left that varies"),
        (
            lambda: np.random.default_rng(0).poisson(2.0, (10, 4)) + 1,
            {"min_cells": 11},
            "No gene is seen in 11 cells",
        ),
        (lambda: np.log1p(np.full((10, 4), 3)), {}, "No gene is left that varies"),
        (
            lambda: np.random.default_rng(0).random((10, 4)),
            {"hvg_flavor": "seurat_v3", "n_top_genes": 2},
            "needs counts",
        ),
    ],
)
def test_refused(build, settings, words):
    x = build()
    source = as_cells(
        AnnData(sp.csr_matrix(x, dtype=np.float32)), kind="auto" if x.dtype.kind == "i" else "log1p"
    )
    with pytest.raises(UserError, match=words):
        Preprocess(**settings)(source)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_top_genes": 0}, "must be at least 1"),
        ({"hvg_flavor": "seurat_v4"}, "did you mean 'seurat_v3'"),
        ({"scale": "yes"}, "must be bool"),
        ({"target_sum": 0}, "must be at least 1"),
    ],
)
def test_wrong_settings(settings, words):
    with pytest.raises(UserError, match=words):
        Preprocess(**settings)


def test_too_little_memory_is_told(adata, monkeypatch):
    def too_much(*_, **__):
        raise MemoryError

    for place in ("preprocess.write_store", "preprocess.stack_rows", "store.np.empty"):
        with monkeypatch.context() as patch:
            patch.setattr(f"jojoscl.cells.{place}", too_much)
            with pytest.raises(UserError, match=r"not enough memory .* leave them in their file"):
                Preprocess()(adata)


def test_values_are_checked_also_in_memory(adata):
    spoilt = adata.copy()
    spoilt.X.data[7] = np.nan
    with pytest.raises(UserError, match="1 values are NaN"):
        Preprocess()(spoilt)
