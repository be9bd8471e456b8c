"""The store against the dense preprocessing of the same cells: genes, z-scores, products, batches, and bad input."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import jojoscl
from jojoscl.cells import preprocess, store
from jojoscl.cells.checks import as_cells
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.load import FileDataset, load_dataset
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.utils.errors import UserError

CLIPPED = Preprocess(n_top_genes=100, max_value=3.0)


@pytest.fixture(scope="module")
def adata() -> AnnData:
    cells = simulate(150, 400, 4, library_size=600.0, seed=3)
    x = cells.X.toarray()
    x[:, 5] = 0  # never seen
    x[:, 6] = np.arange(150) == 7  # seen once
    cells.X = sp.csr_matrix(x)
    return cells


@pytest.fixture(params=["sparse", "dense", "zarr"])
def backed(request: pytest.FixtureRequest, adata: AnnData, tmp_path: Path) -> Path:
    """The cells in a file."""
    cells = AnnData(
        adata.X.toarray() if request.param == "dense" else adata.X, obs=adata.obs, var=adata.var
    )
    if request.param == "zarr":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what anndata says of its default before 0.13
            cells.write_zarr(tmp_path / "cells.zarr")
        return tmp_path / "cells.zarr"
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.fixture(autouse=True)
def _small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 400 * 4 * 17)
    monkeypatch.setattr(store, "_BAND", 40)


@pytest.mark.parametrize("settings", [
    {}, {"max_value": None}, {"scale": False, "max_value": None}, {"log1p": False}, {"target_sum": 1e4},
    {"n_top_genes": None}, {"min_cells": 2}, {"min_cells": 60}, {"min_cells": 0, "n_top_genes": None},
    {"round_counts": False},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", ["counts", "log1p", "rpkm"])
@pytest.mark.parametrize("place", ["memory", "file"])
def test_a_store_equals_scanpy(
    adata: AnnData,
    by_scanpy: Callable[..., AnnData],
    settings: dict[str, Any],
    kind: str,
    place: str,
) -> None:
    x = adata.X.copy()
    if kind != "counts":
        x.data *= np.random.default_rng(0).uniform(0.3, 1, x.nnz)
    cells = as_cells(AnnData(np.log1p(x) if kind == "log1p" else x), kind=kind)
    dense_gib = 0.0 if place == "file" else 0.5
    chosen = Preprocess(
        **({"n_top_genes": 100, "max_value": 3.0, "dense_gib": dense_gib} | settings)
    )
    expected, found = by_scanpy(chosen, cells), preprocess.stored(chosen, cells, None)
    assert [str(gene) for gene in found.genes] == expected.var_names.tolist()
    np.testing.assert_array_equal(found[:], expected.X)
    np.testing.assert_allclose(found.size_factors, expected.obs["size_factors"], rtol=1e-6)


@pytest.mark.parametrize("band", [1, 13, 1000])
def test_the_bits_do_not_depend_on_the_bands(
    adata: AnnData, monkeypatch: pytest.MonkeyPatch, band: int
) -> None:
    expected = CLIPPED(adata)
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 400 * band)
    found = CLIPPED(adata)
    assert found.var_names.equals(expected.var_names)
    np.testing.assert_array_equal(found.X, expected.X)


def test_products_stream(adata: AnnData) -> None:
    x, found = CLIPPED(adata).X, preprocess.stored(CLIPPED, adata, None)
    weights = np.random.default_rng(0).normal(size=(x.shape[1], 7)).astype(np.float32)
    np.testing.assert_allclose(found @ weights, x @ weights, atol=1e-3)


def test_any_cells_in_any_order_and_batches(adata: AnnData) -> None:
    found = preprocess.stored(CLIPPED, adata, None)
    x, index = found[:], torch.tensor([149, 3, 3, 0])
    rows = found.rows(index)
    assert isinstance(rows, store.SparseRows)
    assert rows.shape == (4, found.shape[1])
    np.testing.assert_array_equal(rows.dense(), x[index])
    data = CellDataModule(found, x[:, :2], batch_size=32, seed=1)
    np.testing.assert_array_equal(data.gather(index, torch.device("cpu")), x[index])
    seen = []
    for batch in data.train_dataloader():
        assert isinstance(batch[0], store.SparseRows), "sparse until it is on the device"
        cells, which, more = data.on_after_batch_transfer(batch, 0)
        np.testing.assert_array_equal(cells, x[which])
        np.testing.assert_array_equal(more, x[which, :2])
        seen += which.tolist()
    assert sorted(seen) == list(range(150)) != seen


def test_files_of_every_kind_give_the_same_store(
    adata: AnnData, backed: Path, tmp_path: Path
) -> None:
    cells = FileDataset(path=backed, backed=True, label_key="cell_type").load()
    assert not isinstance(cells.X, np.ndarray | sp.csr_matrix)
    assert cells.obs["cell_type"].tolist() == adata.obs["cell_type"].tolist()
    found = preprocess.preprocessed(CLIPPED, cells, tmp_path / "cache")
    assert isinstance(found, store.Store)
    np.testing.assert_array_equal(found[:], CLIPPED(adata).X)
    path = next((tmp_path / "cache").iterdir())
    before = {file.name: file.stat().st_mtime_ns for file in path.iterdir()}
    preprocess.preprocessed(CLIPPED, cells, tmp_path / "cache")
    assert {file.name: file.stat().st_mtime_ns for file in path.iterdir()} == before
    assert list((tmp_path / "cache").iterdir()) == [path]


def test_layers_and_raw_stay_in_the_file(adata: AnnData, tmp_path: Path) -> None:
    cells = AnnData(-np.ones(adata.shape), layers={"counts": adata.X})
    cells.raw = AnnData(adata.X)
    cells.write_h5ad(tmp_path / "a.h5ad")
    for layer in ("counts", "raw"):
        opened = FileDataset(path=tmp_path / "a.h5ad", backed=True, layer=layer).load()
        np.testing.assert_array_equal(opened.X[:9].toarray(), adata.X[:9].toarray())
    with pytest.raises(UserError, match=r"no layer .count. .*did you mean 'counts'"):
        FileDataset(path=tmp_path / "a.h5ad", backed=True, layer="count").load()


def test_a_large_matrix_in_memory_takes_the_store(adata: AnnData) -> None:
    size = 150 * 100 * 4 / 2**30
    assert isinstance(
        preprocess.preprocessed(replace(CLIPPED, dense_gib=size), adata, None), np.ndarray
    )
    assert isinstance(
        preprocess.preprocessed(replace(CLIPPED, dense_gib=0.99 * size), adata, None), store.Store
    )
    other = Preprocess(n_top_genes=100, hvg_flavor="cell_ranger", dense_gib=0)
    found = preprocess.preprocessed(other, adata, None)
    assert isinstance(found, store.Store), "also where the choice of genes needs all of it"
    np.testing.assert_array_equal(found[:], other(adata).X)


def test_a_changed_file_is_preprocessed_anew(adata: AnnData, tmp_path: Path) -> None:
    for x in (adata.X, adata.X[::-1]):
        AnnData(x).write_h5ad(tmp_path / "a.h5ad")
        opened = FileDataset(path=tmp_path / "a.h5ad", backed=True).load()
        found = preprocess.preprocessed(CLIPPED, opened, tmp_path / "cache")
        opened.X.group.file.close()
    np.testing.assert_allclose(found[:], CLIPPED(adata).X[::-1], atol=1e-4)


def spoilt(row: int, value: float) -> Any:
    def spoil(x: np.ndarray) -> None:
        x[row, 3] = value

    return spoil


@pytest.mark.parametrize(("spoil", "message"), [
    (spoilt(140, np.nan), "NaN"), (spoilt(140, -1), "negative"), (spoilt(140, 0.5), "not whole"),
    (lambda x: x[140].fill(0), "1 cells have no counts at all .*140"), (lambda x: x.fill(1), "No gene is left"),
], ids=["nan", "negative", "fraction", "empty", "constant"])  # fmt: skip
def test_bad_values_in_a_file_are_told_in_a_sentence(
    adata: AnnData, tmp_path: Path, spoil: Any, message: str
) -> None:
    x = adata.X.toarray()
    spoil(x)
    AnnData(sp.csr_matrix(x)).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(UserError, match=message):
        preprocess.preprocessed(
            CLIPPED, FileDataset(path=tmp_path / "a.h5ad", backed=True).load(), tmp_path / "cache"
        )
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_cannot_be_backed_is_told(adata: AnnData, tmp_path: Path) -> None:
    AnnData(sp.csc_matrix(adata.X)).write_h5ad(tmp_path / "csc.h5ad")
    with pytest.raises(UserError, match="stored by genes"):
        FileDataset(path=tmp_path / "csc.h5ad", backed=True).load()
    AnnData(adata.X).write_h5ad(tmp_path / "a.h5ad")
    cells = FileDataset(path=tmp_path / "a.h5ad", backed=True).load()
    with pytest.raises(UserError, match="this method needs them in memory"):
        CLIPPED(cells)
    with pytest.raises(UserError, match="take seurat"):
        preprocess.preprocessed(Preprocess(n_top_genes=9, hvg_flavor="cell_ranger"), cells, None)
    with pytest.raises(UserError, match="neither metadata nor transpose"):
        FileDataset(path=tmp_path / "a.h5ad", backed=True, transpose=True).load()
    with pytest.raises(UserError, match="cannot be copied"):
        jojoscl.cluster(ad.read_h5ad(tmp_path / "a.h5ad", backed="r"), 3, copy=True)
    (tmp_path / "x.csv").write_text("cell,a,b\n")
    with pytest.raises(UserError, match="cannot stay in its file"):
        FileDataset(path=tmp_path / "x.csv", backed=True).load()
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["Z"] = 1
    with pytest.raises(UserError, match="no matrix X"):
        FileDataset(path=tmp_path / "x.h5", backed=True).load()


@pytest.mark.real
@pytest.mark.skipif("JOJOSCL_DATA_ROOT" not in os.environ, reason="JOJOSCL_DATA_ROOT is not set")
@pytest.mark.parametrize("name", ["bladder", "baron_mouse", "human_brain", "worm_neuron", "yan"])
def test_real_cells_are_as_scanpy_makes_them(
    name: str, by_scanpy: Callable[..., AnnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 1 << 24)
    cells, settings = (
        load_dataset(name),
        Preprocess(n_top_genes=2000 if name != "bladder" else 500, max_value=10.0),
    )
    expected, found = (
        by_scanpy(settings, cells),
        preprocess.stored(replace(settings, dense_gib=0), cells, None),
    )
    assert cells.var_names[found.genes].tolist() == expected.var_names.tolist()
    np.testing.assert_array_equal(found[np.arange(90)], expected.X[:90])
