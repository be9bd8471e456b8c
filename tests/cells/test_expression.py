"""The carrier of the cells: what it says is the same in memory and from a file, of all cells and of some."""

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

import jojoscl
from jojoscl.cells.checks import as_cells
from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.load import FileDataset
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError

CLIPPED = Preprocess(n_top_genes=100, max_value=3.0, target_sum=1e4, min_cells=2)


@pytest.fixture(scope="module")
def adata() -> AnnData:
    return simulate(150, 400, 4, library_size=600.0, seed=3)


@pytest.fixture(scope="module")
def x(adata: AnnData) -> Expression:
    return CLIPPED(adata)


@pytest.fixture(params=["sparse", "dense", "zarr"])
def path(request: pytest.FixtureRequest, adata: AnnData, tmp_path: Path) -> Path:
    """The cells in a file."""
    values = adata.X.toarray() if request.param == "dense" else adata.X
    cells = AnnData(values, obs=adata.obs, var=adata.var)
    if request.param == "zarr":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what anndata says of its default before 0.13
            cells.write_zarr(tmp_path / "cells.zarr")
        return tmp_path / "cells.zarr"
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_each_word_by_plain_numpy(adata, x):
    counts = adata.X.toarray().astype(np.float64)
    seen = (counts > 0).sum(0) >= 2
    logs = np.log1p(counts / counts[:, seen].sum(1, keepdims=True) * 1e4)[:, x.genes]
    z = ((logs - logs.mean(0)) / logs.std(0, ddof=1)).clip(-3, 3)
    assert (len(x), x.n_genes, x.samples, x.kind) == (150, len(x.genes), None, "counts")
    np.testing.assert_array_equal(x.counts().toarray(), counts[:, x.genes])
    np.testing.assert_array_equal(x.totals, counts.sum(1))
    np.testing.assert_allclose(x.seen, (counts[:, x.genes] > 0).mean(0))
    np.testing.assert_allclose(x.logs(), logs, rtol=1e-5)
    np.testing.assert_allclose(x.mean, logs.mean(0), rtol=1e-5)
    np.testing.assert_allclose(x.sd, logs.std(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(x.zscores(), z, atol=1e-4)
    loadings = np.random.default_rng(0).normal(size=(x.n_genes, 7)).astype(np.float32)
    np.testing.assert_allclose(x @ loadings, z @ loadings, atol=2e-3)


def test_some_cells_are_those_among_all(x, subtests):
    for rows in [np.array([149, 3, 3, 0]), slice(20, 30), np.arange(150) % 7 == 0]:
        with subtests.test(rows=rows):
            np.testing.assert_array_equal(x.zscores(rows), x.zscores()[rows])
            np.testing.assert_array_equal(x.logs(rows), x.logs()[rows])
            np.testing.assert_array_equal(x.counts(rows).toarray(), x.counts().toarray()[rows])


def test_many_cells_go_in_bands(x, monkeypatch):
    loadings = np.random.default_rng(0).normal(size=(x.n_genes, 7)).astype(np.float32)
    expected = x @ loadings
    monkeypatch.setattr("jojoscl.cells.expression._BAND", 40)
    np.testing.assert_allclose(x @ loadings, expected, atol=1e-5)


def test_pearson_residuals_are_scanpys(subtests):
    for theta in [100.0, 1.0]:
        with subtests.test(theta=theta):
            cells = simulate(60, 80, 3, seed=2)
            x = Preprocess(n_top_genes=None)(cells)
            expected = AnnData(cells.X[:, x.genes].copy())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sc.experimental.pp.normalize_pearson_residuals(expected, theta=theta)
            found = x.residuals(slice(None), theta)
            np.testing.assert_allclose(found, expected.X, rtol=1e-3, atol=1e-3)
            assert found.dtype == np.float32
            assert np.abs(found).max() <= np.float32(60**0.5)


def test_residuals_count_all_genes_of_a_cell(adata, x):
    every = Preprocess(n_top_genes=None, min_cells=0)(adata)
    among = np.searchsorted(every.genes, x.genes)
    np.testing.assert_allclose(
        x.residuals(slice(None), 100.0), every.residuals(slice(None), 100.0)[:, among], rtol=1e-5
    )


# ---- from a file ---------------------------------------------------------------------------------


def test_files_of_every_kind_give_what_memory_gives(x, path, monkeypatch):
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 400 * 4 * 17)
    cells = FileDataset(path=path, backed=True, label_key="cell_type").load()
    assert not isinstance(cells.X, np.ndarray | sp.csr_matrix)
    for gib in (0.5, 0.0):
        found = Preprocess(**CLIPPED.plain() | {"dense_gib": gib})(cells)
        assert found.values.data.flags.writeable is (gib > 0)  # mapped from a file
        np.testing.assert_array_equal(found.zscores(), x.zscores())
        np.testing.assert_array_equal(found.totals, x.totals)


def test_values_in_a_file_are_checked_when_they_are_read(adata, tmp_path, monkeypatch):
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 400 * 100)  # the last band is bad
    for value, words in ((np.nan, "1 values are NaN"), (-1.0, "negative"), (1.5, "no counts")):
        cells = AnnData(adata.X.copy())
        cells.X.data[-1] = value
        cells.write_h5ad(tmp_path / f"{value}.h5ad")
        backed = as_cells(ad.read_h5ad(tmp_path / f"{value}.h5ad", backed="r"), kind="counts")
        with pytest.raises(UserError, match=words):
            CLIPPED(backed)
    empty = adata.X.toarray()
    empty[7] = 0
    AnnData(sp.csr_matrix(empty)).write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(UserError, match=r"1 cells have no counts at all \(such as '7'"):
        CLIPPED(as_cells(ad.read_h5ad(tmp_path / "x.h5ad", backed="r")))


def test_files_that_cannot_stay_are_refused(adata, tmp_path):
    AnnData(sp.csc_matrix(adata.X)).write_h5ad(tmp_path / "csc.h5ad")
    with pytest.raises(UserError, match="by genes"):
        FileDataset(path=tmp_path / "csc.h5ad", backed=True).load()
    AnnData(adata.X).write_h5ad(tmp_path / "a.h5ad")
    cells = FileDataset(path=tmp_path / "a.h5ad", backed=True).load()
    with pytest.raises(UserError, match="take robust_v3"):
        Preprocess(n_top_genes=9, hvg_flavor="seurat_v3")(cells)
    with pytest.raises(UserError, match="cannot stay in its file"):
        FileDataset(path=tmp_path / "a.h5ad", backed=True, transpose=True).load()
    with pytest.raises(UserError, match="cannot be copied"):
        jojoscl.cluster(ad.read_h5ad(tmp_path / "a.h5ad", backed="r"), 3, copy=True)
    (tmp_path / "x.csv").write_text("cell,a,b\n")
    with pytest.raises(UserError, match="cannot stay in its file"):
        FileDataset(path=tmp_path / "x.csv", backed=True).load()
