"""Simulated counts follow the distribution that they claim."""

import importlib

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from jojoscl.cells.checks import check_cells
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.simulate import SimulatedDataset, simulate
from tests.small import assert_refused

# The package offers the function by this name.
module = importlib.import_module("jojoscl.datasets.simulate")
FIXED = {"library_sd": 0.0, "n_types": 1}


def test_shape_and_annotation():
    adata = simulate(300, 80, 5, seed=2)
    check_cells(adata)
    assert isinstance(adata.X, sp.csr_matrix)
    assert adata.X.dtype == np.float32
    assert adata.shape == (300, 80)
    assert len(adata.obs["cell_type"].cat.categories) == 5
    assert adata.obs["cell_type"].value_counts().min() >= 1
    names = {"kind": "counts", "name": "simulated", "variant": "default"}
    assert names.items() <= adata.uns.items()
    np.testing.assert_allclose(adata.uns["simulated"]["profiles"].sum(axis=1), 1)


def test_moments_of_the_zero_inflated_negative_binomial(subtests):
    for dispersion, dropout in [(0.0, 0.0), (0.5, 0.0), (0.5, 0.4), (2.0, 0.2)]:
        with subtests.test(dispersion=dispersion):
            n = 40_000
            adata = simulate(
                n, 12, library_size=120.0, dispersion=dispersion, dropout=dropout, **FIXED
            )
            x = adata.X.toarray().astype(np.float64)
            mu = 120.0 * adata.uns["simulated"]["profiles"][0]
            keep = 1 - dropout
            mean = keep * mu
            variance = keep * (mu + dispersion * mu**2) + keep * dropout * mu**2
            np.testing.assert_array_less(np.abs(x.mean(axis=0) - mean), 5 * np.sqrt(variance / n))
            np.testing.assert_allclose(x.var(axis=0), variance, rtol=0.12)
            zero = np.exp(-mu) if dispersion == 0 else (1 + dispersion * mu) ** (-1 / dispersion)
            np.testing.assert_allclose((x == 0).mean(axis=0), dropout + keep * zero, atol=0.015)


def test_library_sizes():
    library = simulate(20_000, 5, 2, library_size=700.0, library_sd=0.6).obs["library_size"]
    assert np.median(library) == pytest.approx(700, rel=0.03)
    assert np.log(library).std() == pytest.approx(0.6, rel=0.03)


def test_markers():
    quiet = simulate(50, 2000, 3, marker_fraction=0.0).uns["simulated"]["profiles"]
    np.testing.assert_allclose(quiet[0], quiet[1])
    profiles = simulate(50, 2000, 3, marker_fraction=0.3).uns["simulated"]["profiles"]
    ratio = profiles[0] / profiles[1]
    same = np.isclose(ratio, np.median(ratio), rtol=1e-6).mean()  # markers of neither type: 0.7^2
    assert same == pytest.approx(0.49, abs=0.05)


def test_given_sizes_are_met_exactly():
    sizes = [629, 617, 516, 513, 463, 396, 302, 224]
    adata = simulate(3660, 20, 8, type_sizes=sizes, name="simulated_adam")
    assert adata.obs["cell_type"].value_counts(sort=False).tolist() == sizes
    assert adata.uns["name"] == "simulated_adam"


def test_every_type_has_a_cell():
    counts = (
        simulate(30, 10, 8, type_sizes=[1000, 1, 1, 1, 1, 1, 1, 0])
        .obs["cell_type"]
        .value_counts(sort=False)
    )
    assert counts.tolist() == [23, 1, 1, 1, 1, 1, 1, 1]
    assert simulate(8, 10, 8).obs["cell_type"].value_counts().tolist() == [1] * 8


def test_concentration_makes_sizes_even():
    spread = [
        simulate(10_000, 2, 10, concentration=value).obs["cell_type"].value_counts().std()
        for value in (0.5, 5.0, 1000.0)
    ]
    assert spread[0] > spread[1] > spread[2]


def test_same_seed_same_cells(monkeypatch):
    monkeypatch.setattr(module, "BAND_VALUES", 500)
    first = simulate(100, 40, seed=7)
    second, other = simulate(100, 40, seed=7), simulate(100, 40, seed=8)
    assert (first.X != second.X).nnz == 0
    assert first.obs.equals(second.obs)
    assert (first.X != other.X).nnz > 0


def test_bands_differ(monkeypatch):
    monkeypatch.setattr(module, "BAND_VALUES", 400)
    x = simulate(20, 40, **FIXED).X.toarray()
    assert not (x[:10] == x[10:]).all()


def test_no_cell_is_empty():
    adata = simulate(500, 30, 2, library_size=1.0, dropout=0.9)
    assert adata.X.sum(axis=1).min() == 1


def test_the_default_types_can_be_found():
    adata = SimulatedDataset().load()
    x = PCA(10, random_state=0).fit_transform(Preprocess()(adata).zscores())
    labels = KMeans(6, n_init=5, random_state=0).fit_predict(x)
    assert adjusted_rand_score(adata.obs["cell_type"], labels) > 0.8


def test_wrong_settings():
    assert_refused(
        lambda settings: SimulatedDataset(**settings).load(),
        ({"name": "bladder"}, "start the name with 'simulated'"),
        ({"n_cells": 1}, "n_cells must be at least 2"),
        ({"dropout": 1.0}, "dropout must be between 0 and 0.999"),
        ({"n_types": 3, "type_sizes": [1, 2]}, "type_sizes must be 3 numbers"),
        ({"n_types": 2, "type_sizes": [1, -2]}, "type_sizes must be 2 numbers"),
        ({"n_types": 2, "type_sizes": [1, "x"]}, "type_sizes must be float, not 'x'"),
        ({"n_cells": 5, "n_types": 6}, "raise n_cells"),
        ({"seed": "x"}, "seed must be int"),
    )
