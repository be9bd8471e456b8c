"""Splits are kept where there are types, and not where there are none."""

from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import combine_pvalues, ttest_ind
from sklearn.metrics import adjusted_rand_score, roc_auc_score

import jojoscl
from jojoscl.baselines.controls import PCAKMeans
from jojoscl.tools.halves import HalfClusters
from jojoscl.tools.splits import scores, welch
from jojoscl.tools.tree import Split
from tests.small import assert_refused

QUICK = jojoscl.JojoSCL(n_draws=1)
COLUMNS = [
    "split", "parent", "side", "left", "right", "n_left", "n_right", "auc", "statistic", "p",
    "p_adjusted", "kept",
]  # fmt: skip


def half_of(first: Any, second: Any, labels: np.ndarray) -> HalfClusters:
    """Two clusters called 0 and 1."""
    parts = AnnData(first), sp.csr_matrix(first), sp.csr_matrix(second)
    names, n = np.array(["0", "1"], object), len(labels)
    return HalfClusters(*parts, labels, names, names[labels], 1.0, np.eye(n), np.ones(n, bool))


def test_types_are_kept_and_named_as_the_clusters(adata, tmp_path):
    table = jojoscl.split_tests(adata, method=QUICK)
    assert list(table.columns) == COLUMNS
    assert table["kept"].all()
    assert len(table) == 2
    assert set(adata.obs["jojoscl_splits"].cat.categories) == {"0", "1", "2"}
    assert (adata.obs["jojoscl_splits"] == adata.obs["jojoscl"]).all()
    assert table["n_left"][0] + table["n_right"][0] == adata.n_obs
    adata.write_h5ad(tmp_path / "x.h5ad")
    read = anndata.read_h5ad(tmp_path / "x.h5ad").uns["jojoscl_splits"]
    pd.testing.assert_frame_equal(read, table, check_index_type=False, check_dtype=False)


def test_too_many_clusters_are_merged_to_the_types():
    adata = jojoscl.simulate(400, 400, 3, dropout=0, fold_change_sd=2, type_sizes=[1, 1, 1], seed=5)
    jojoscl.cluster(adata, 6, n_draws=1)
    table = jojoscl.split_tests(adata, method=QUICK)
    assert len(table) == 5
    assert adata.obs["jojoscl_splits"].nunique() == 1 + table["kept"].sum() == 3
    assert adjusted_rand_score(adata.obs["jojoscl_splits"], adata.obs["cell_type"]) > 0.95
    for name, own in adata.obs.groupby("jojoscl_splits", observed=True)["jojoscl"]:
        assert set(name.split(" + ")) == set(own)  # merges of the user's clusters


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_one_type_is_not_split(dispersion):
    """At 5 % in at most 2 of 12 runs (2 % by chance), of small cells; the large study is experiments/splits.py."""
    split = 0
    for seed in range(12):
        adata = jojoscl.simulate(150, 200, 1, dispersion=dispersion, dropout=0, seed=seed)
        adata.obs["mine"] = np.where(np.arange(150) % 2, "a", "b")
        split += jojoscl.split_tests(adata, "mine", method=QUICK, seed=seed)["kept"].any()
    assert split <= 2


def test_the_same_cells_on_both_sides_are_far_from_chance_where_halves_are_not_used():
    """The circular way: clusters of all counts, tested on the same counts."""
    adata = jojoscl.simulate(150, 200, 1, dropout=0, seed=0)
    jojoscl.cluster(adata, 2, n_draws=1)
    labels = adata.obs["jojoscl"].cat.codes.to_numpy()
    half = half_of(adata.X, adata.X, labels)
    splits = [Split((0,), (1,), -1)]
    assert welch(scores(half, splits), labels, splits)[2][0] < 1e-10


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, labels = (
        rng.normal(size=(40, 1)) * (1 + np.arange(40)[:, None] / 10),
        np.repeat([0, 1, 2], [25, 14, 1]),
    )
    auc, t, p = welch(x, labels, [Split((0,), (1,), -1)])
    known = ttest_ind(x[:25, 0], x[25:39, 0], equal_var=False, alternative="greater")
    assert (t[0], p[0]) == pytest.approx((known.statistic, known.pvalue))
    assert auc[0] == pytest.approx(roc_auc_score(labels[:39] == 0, x[:39, 0]))
    assert welch(x, labels, [Split((0,), (2,), -1)])[2][0] == 1  # a side of one cell
    assert welch(0 * x, labels, [Split((0,), (1,), -1)])[2][0] == 1


def test_sides_are_compared_within_samples():
    rng = np.random.default_rng(0)
    labels, samples = np.tile([0, 1], 40), np.repeat([0, 1, 2], [30, 30, 20])
    x, splits = rng.normal(size=(80, 1)) + 9 * samples[:, None], [Split((0,), (1,), -1)]
    labels[60:] = 0  # a sample with one side alone tells nothing
    parts = [(x[samples == s, 0], labels[samples == s]) for s in (0, 1)]
    one, two = (
        ttest_ind(y[on == 0], y[on == 1], equal_var=False, alternative="greater").pvalue
        for y, on in parts
    )
    auc, _, p = welch(x, labels, splits, samples)[:, 0]
    assert p == pytest.approx(combine_pvalues([one, two], "stouffer").pvalue)
    assert auc == pytest.approx(np.mean([roc_auc_score(on == 0, y) for y, on in parts]))
    sides = (samples == 0).astype(int)  # side and sample are one
    assert welch(x, sides, splits, samples)[2, 0] == 1


def test_the_total_of_a_cell_moves_no_score():
    rng = np.random.default_rng(0)
    first, second = (rng.poisson(3, (30, 20)).astype(np.float32) for _ in range(2))
    labels, splits = np.repeat([0, 1], 15), [Split((0,), (1,), -1)]
    one, two = (scores(half_of(first, by * second, labels), splits) for by in (1, 7))
    np.testing.assert_allclose(one, two)


def test_labels_of_another_method_and_another_number(adata):
    adata.obs["leiden"] = adata.obs["cell_type"].to_numpy()
    table = jojoscl.split_tests(adata, "leiden", n_clusters=4, method=PCAKMeans(), seed=1)
    assert len(table) == 3
    assert {"leiden_splits"} == {*adata.obs.columns} & {"leiden_splits", "jojoscl_splits"}


def test_the_same_seed_gives_the_same_table(adata):
    one, two = (jojoscl.split_tests(adata, method=QUICK, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_bad_input_is_one_sentence_and_changes_nothing(adata):
    before = (list(adata.obs), list(adata.uns))
    cases = (
        ({"key": "leiden"}, r"There is no adata.obs\['leiden'\]: call jojoscl.cluster first"),
        ({"kind": "rpkm"}, "Only counts can be split into halves, and these are rpkm"),
        ({"n_clusters": 1}, "n_clusters must be a whole number of at least 2"),
        ({"n_clusters": 1000}, "there are only 120 cells"),
        ({"method": "leiden"}, "method must be a method"),
        ({"method": jojoscl.JojoSCL}, "method must be a method such as jojoscl.JojoSCL"),
        ({"batch_key": "donor"}, "no column 'donor'"),
        ({"batch_key": ["cell_type"]}, r"There is no column \[.cell_type.\]"),
        ({"batch_key": "cell_type", "method": PCAKMeans()}, "does not tell samples apart"),
        ({"seed": -1}, "seed must be"),
        ({"layer": "raw_counts"}, "There is no layer 'raw_counts'"),
    )
    alphas = [({"alpha": a}, "alpha must be a number between 0 and 1, not") for a in (0, "0.05")]
    for call, own in ((jojoscl.split_tests, alphas), (jojoscl.markers, ())):
        assert_refused(lambda how, call=call: call(adata, **{"method": QUICK} | how), *cases, *own)
    assert (list(adata.obs), list(adata.uns)) == before


def test_cells_of_too_few_counts_and_logarithms_are_refused(adata):
    few = adata.copy()
    few.X = few.X.toarray()
    few.X[0] = 0
    few.X[0, 3] = 1
    with pytest.raises(jojoscl.UserError, match=r"1 cells have too few counts .* min_counts=2"):
        jojoscl.split_tests(few, method=QUICK)
    logs = adata.copy()
    x = logs.X.toarray()
    logs.X = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    with pytest.raises(jojoscl.UserError, match="Only counts can be split"):
        jojoscl.split_tests(logs, method=QUICK)
    with pytest.raises(jojoscl.UserError, match="adata must be an AnnData, not ndarray"):
        jojoscl.split_tests(adata.X.toarray())
    assert "jojoscl_splits" not in few.uns


def test_a_view_is_made_a_copy_of_its_own(adata):
    view = adata[:80]
    assert len(jojoscl.split_tests(view, method=QUICK)) == 2
    assert "jojoscl_splits" in view.obs
    assert "jojoscl_splits" not in adata.obs


def test_alpha_of_any_library(adata):
    for alpha in (np.float32(0.05), np.float64(0.05)):
        assert jojoscl.split_tests(adata, method=QUICK, alpha=alpha)["kept"].all()


def test_names_with_a_plus_in_them(cells):
    adata = cells.copy()
    names = {"type1": "A", "type2": "B", "type3": "A + B"}
    adata.obs["mine"] = adata.obs["cell_type"].cat.rename_categories(names)
    table = jojoscl.split_tests(adata, "mine", method=QUICK)
    assert {"A", "B", "(A + B)"} <= {*table["left"], *table["right"]}
    child = table.iloc[1]
    sides = table.iloc[0][["n_left", "n_right"]]
    assert sides[f"n_{child['side']}"] == child["n_left"] + child["n_right"]
    jojoscl.split_tests(adata, "mine", method=QUICK, alpha=1e-300)
    assert adata.obs["mine_splits"].nunique() == 1
