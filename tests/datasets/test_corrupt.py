"""Cells are made worse by as much as was asked, and the cells given stay as they are."""

import logging
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.corrupt import Corrupt, subsample, uneven
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError
from tests.small import assert_refused

N_CELLS, N_GENES = 400, 300


@pytest.fixture(scope="module")
def dense() -> AnnData:
    """Counts of 20 everywhere, and in the last gene 0: 400 cells, three quarters of them of type a."""
    x = np.full((N_CELLS, N_GENES), 20.0, dtype=np.float32)
    x[:, -1] = 0
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(["a"] * 300 + ["b"] * 99 + ["c"])},
        index=map(str, range(N_CELLS)),
    )
    return AnnData(
        sp.csr_matrix(x), obs=obs, uns={"kind": "counts", "name": "dense", "variant": "default"}
    )


def test_the_defaults_do_nothing(dense):
    assert Corrupt().decisive() == {}
    assert Corrupt()(dense, seed=0) is dense


def test_dropout_loses_that_share_and_changes_no_other_value(dense, subtests):
    for rate in [0.1, 0.5, 0.9]:
        with subtests.test(rate=rate):
            x = Corrupt(dropout=rate)(dense, seed=0).X
            n = dense.X.nnz
            assert abs(x.nnz / n - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / n)
            assert set(x.data) == {20}


def test_more_dropout_loses_the_same_values_and_more(dense):
    little, much = (Corrupt(dropout=rate)(dense, seed=0).X for rate in (0.2, 0.6))
    assert (much > little).nnz == 0


def test_thinned_counts_are_binomial(dense, subtests):
    for fraction in [0.1, 0.5]:
        with subtests.test(fraction=fraction):
            x = Corrupt(thin=fraction)(dense, seed=0).X
            values = x[:, :-1].toarray()
            variance = 20 * fraction * (1 - fraction)
            assert abs(values.mean() - 20 * fraction) < 4 * np.sqrt(variance / values.size)
            assert values.var() == pytest.approx(variance, rel=0.03)
            assert (values == np.floor(values)).all()
            assert x[:, -1].nnz == 0
            assert (x.data > 0).all()


def test_thin_rounds_rpkm_up_as_preprocessing_does():
    x = sp.csr_matrix(np.full((50, 20), 0.3, dtype=np.float32))
    cells = AnnData(x, uns={"kind": "rpkm"})
    assert set(Corrupt(thin=0.999)(cells, seed=0).X.data) == {1}


def test_subsample_keeps_types_in_proportion_and_the_order_of_cells(dense):
    half, tenth = (Corrupt(subsample=fraction)(dense, seed=0) for fraction in (0.5, 0.1))
    assert half.obs["cell_type"].value_counts().to_dict() == {"a": 150, "b": 50, "c": 1}
    assert tenth.obs["cell_type"].value_counts().to_dict() == {"a": 30, "b": 10, "c": 1}
    assert set(tenth.obs_names) < set(half.obs_names)
    assert list(half.obs_names) == sorted(half.obs_names, key=int)
    assert half.uns == dense.uns


def kept_by_a_loop(types: np.ndarray, factor: float, seed: int) -> list[int]:
    """The rule of the study, written out: an independent reference."""
    rng = np.random.default_rng(seed)
    order = list(rng.permutation(sorted(set(types))))
    first = min(list(types).count(order[0]), 1000)
    shares = [1, factor, factor**2, factor**3] + [factor**4] * len(order)
    kept: list[int] = []
    for name, share in zip(order, shares, strict=False):
        cells = [i for i, word in enumerate(types) if word == name]
        n = round(first / share)
        n = len(cells) if len(cells) < max(n, 10) else max(n, 10)
        kept += rng.choice(cells, n, replace=False).tolist()
    return sorted(kept)


def test_uneven_keeps_the_cells_of_the_rule(subtests):
    for seed, factor in product(range(4), [3.0, 1.5]):
        with subtests.test(seed=seed, factor=factor):
            sizes = [1500, 700, 400, 300, 90, 30, 12, 4]
            types = np.random.default_rng(9).permutation(np.repeat(list("abcdefgh"), sizes))
            kept = uneven(types, factor, np.random.default_rng(seed))
            assert kept.tolist() == kept_by_a_loop(types, factor, seed)


def test_uneven_changes_no_count_and_follows_its_own_seed():
    cells = simulate(600, 40, 4, type_sizes=[1, 1, 1, 1], seed=1)
    types = cells.obs["cell_type"].astype(str).to_numpy()
    corrupt = Corrupt(uneven=3)
    made = corrupt(cells, seed=2)
    assert sorted(made.obs["cell_type"].value_counts()) == [10, 17, 50, 150]
    assert list(made.obs_names) == list(cells.obs_names[kept_by_a_loop(types, 3, 2)])
    assert (made.X != cells[made.obs_names].X).nnz == 0
    assert list(corrupt(cells, seed=5).obs_names) != list(made.obs_names)
    assert Corrupt(uneven=3).decisive() == {"uneven": 3}
    assert made.uns.keys() == cells.uns.keys() | {"input_made_by_types"}


def test_uneven_needs_types(dense):
    with pytest.raises(UserError, match=r"corrupt\.uneven needs types.* data\.label_key"):
        Corrupt(uneven=3)(AnnData(dense.X, uns={"kind": "counts"}), seed=0)


def test_subsample_without_types_is_a_plain_one(dense):
    assert Corrupt(subsample=0.25)(AnnData(dense.X, uns={"kind": "counts"}), seed=0).n_obs == 100


def test_subsample_may_look_away_from_the_types(dense):
    kept = Corrupt(stratify=False, subsample=0.1)(dense, seed=0)
    assert kept.n_obs == round(0.1 * dense.n_obs)
    assert set(Corrupt(subsample=0.1)(dense, seed=0).obs_names) != set(kept.obs_names)


def test_each_cell_of_a_type_is_as_likely_as_another():
    types = np.repeat(["a", "b"], [30, 10])
    drawn = np.zeros(40)
    for seed in range(2000):
        drawn[subsample(types, 0.5, np.random.default_rng(seed))] += 1
    np.testing.assert_allclose(drawn / 2000, 0.5, atol=0.05)


def test_gaussian_noise_has_its_sd_where_nothing_is_clipped_and_half_of_the_zeros_rise(dense):
    result = Corrupt(gaussian=0.3)(dense, seed=0)
    values = result.X.toarray()
    assert result.uns["kind"] == "log1p"
    assert values[:, :-1].mean() == pytest.approx(np.log1p(20), abs=0.005)
    assert values[:, :-1].std() == pytest.approx(0.3, rel=0.01)
    assert (values[:, -1] > 0).mean() == pytest.approx(0.5, abs=0.1)
    assert values.min() == 0


def test_noise_of_log_normalised_values_leaves_them_log_normalised(dense):
    cells = AnnData(dense.X, uns={"kind": "log1p"})
    assert Corrupt(gaussian=0.5)(cells, seed=0).X[:, :-1].mean() == pytest.approx(20, abs=0.02)


def test_the_given_cells_stay_and_a_seed_repeats():
    cells = simulate(60, 40, 3)
    before = cells.copy()
    corrupt = Corrupt(subsample=0.8, thin=0.5, dropout=0.2, gaussian=0.1)
    first, second, other = (corrupt(cells, seed=seed) for seed in (1, 1, 2))
    assert (cells.X != before.X).nnz == 0
    assert cells.uns["kind"] == "counts"
    assert (first.X != second.X).nnz == 0
    assert first.obs.equals(second.obs)
    assert first.shape != other.shape or (first.X != other.X).nnz > 0


def test_emptied_cells_are_dropped_with_a_warning(caplog):
    cells = simulate(100, 20, 2, library_size=3.0)
    with caplog.at_level(logging.WARNING):
        left = Corrupt(dropout=0.8)(cells, seed=0)
    assert 2 <= left.n_obs < 100
    assert f"{100 - left.n_obs} cells are left without counts" in caplog.text
    assert len(Preprocess()(left)) == left.n_obs


def test_wrong_strengths_are_refused():
    assert_refused(
        lambda settings: Corrupt(**settings)(simulate(20, 10, 2), seed=0),
        ({"uneven": 0.5}, "uneven must be at least 1"),
        ({"dropout": 1.0}, "dropout must be between 0 and"),
        ({"thin": 0}, "thin must be between"),
        ({"subsample": 1.5}, "subsample must be between"),
        ({"gaussian": -1}, "gaussian must be at least 0"),
        ({"thin": 1e-6}, "There are 0 cells"),
    )


def test_log_normalised_values_are_not_thinned():
    cells = simulate(20, 10, 2)
    cells.uns["kind"] = "log1p"
    with pytest.raises(UserError, match=r"corrupt\.thin needs counts"):
        Corrupt(thin=0.5)(cells, seed=0)
