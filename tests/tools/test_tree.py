"""The tree of clusters against scipy and by hand; the hierarchical rule by its level on null trees."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.cluster.hierarchy import linkage, to_tree
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.core.linkage import Tree
from jojoscl.tools.tree import Split, cluster_tree, hierarchical, hierarchy, merged
from jojoscl.utils.errors import UserError
from tests.small import assert_refused

RNG = np.random.default_rng(0)
LINE = np.array([[0.0], [1.0], [10.0], [12.0]])


def test_a_tree_by_hand():
    splits = cluster_tree(LINE, np.arange(4))
    below = {frozenset((split.left, split.right)) for split in splits[1:]}
    assert below == {frozenset({(0,), (1,)}), frozenset({(2,), (3,)})}
    assert {splits[0].left, splits[0].right} == {(0, 1), (2, 3)}
    assert [s.parent for s in splits] == [-1, 0, 0]


def test_the_root_is_that_of_average_linkage_of_far_groups():
    x = np.concatenate([RNG.normal(size=(6, 3)), 100 + RNG.normal(size=(5, 3))])
    splits = cluster_tree(x, np.arange(11))
    root = to_tree(linkage(x, "average"))
    assert {frozenset(splits[0].left), frozenset(splits[0].right)} == {
        frozenset(root.left.pre_order()),
        frozenset(root.right.pre_order()),
    }
    assert len(splits) == 10
    for split in splits[1:]:
        above = splits[split.parent]
        assert set(split.left + split.right) in (set(above.left), set(above.right))


def test_sizes_keep_a_cell_far_away_from_the_root():
    labels = np.repeat([0, 1, 2], [50, 50, 1])
    root = cluster_tree(np.array([[0.0], [4.0], [7.0]])[labels], labels)[0]
    assert {root.left, root.right} == {(0,), (1, 2)}


def test_one_cluster_has_no_split():
    assert cluster_tree(LINE, np.zeros(4, int)) == []
    assert len(hierarchical(np.array([]), [])) == 0
    assert list(merged([], np.array([], bool))) == [0]


def test_hierarchy_by_hand():
    """Groups of 5, 4, 1, 6 and 6 cells; the one of 1 cell makes no cluster of 4."""
    tree = Tree(np.array([[1, 2], [0, 1], [3, 4], [0, 3]]), np.array([5, 4, 1, 6, 6]), 2)
    assert hierarchy(tree, 4) == [
        Split((0, 1), (2, 3), -1),
        Split((2,), (3,), 0, "right"),
        Split((0,), (1,), 0, "left"),
    ]


CHAIN = [Split((0, 1, 2), (3,), -1), Split((0, 1), (2,), 0), Split((0,), (1,), 1)]


def test_p_values_by_hand():
    np.testing.assert_allclose(
        hierarchical(np.array([0.01, 0.002, 0.03]), CHAIN), [0.01, 0.01, 0.06]
    )
    np.testing.assert_allclose(hierarchical(np.array([0.5, 0.0, 0.0]), CHAIN), [0.5, 0.5, 0.5])


def test_splits_below_one_that_is_not_kept_do_not_count():
    found = list(merged(CHAIN, np.array([True, False, True])))
    assert found == [0, 2, 0, 1]  # the rule itself keeps none below
    assert list(merged(CHAIN, np.array([True, False, False]))) == [0, 0, 0, 1]
    assert len(set(merged(CHAIN, np.ones(3, bool)))) == 4


def test_the_chance_of_any_false_split_is_the_level():
    """Twice: with nothing real, and with a real root, whose subtrees are then tested."""
    splits = cluster_tree(RNG.normal(size=(8, 2)), np.arange(8))
    p = RNG.random((4000, 7))
    assert abs(np.mean([hierarchical(row, splits).min() <= 0.05 for row in p]) - 0.05) < 0.012
    p[:, 0] = 0
    assert np.mean([hierarchical(row, splits)[1:].min() <= 0.05 for row in p]) < 0.06


@pytest.fixture(scope="module")
def clustered() -> AnnData:
    """300 cells of 5 types, clustered at 4."""
    adata = jojoscl.simulate(n_cells=300, n_genes=400, n_types=5, marker_fraction=0.3, seed=2)
    jojoscl.cluster(adata, 4)
    return adata


def test_the_same_number_gives_the_same_clusters(clustered):
    jojoscl.cut(clustered, 4, key_added="again")
    np.testing.assert_array_equal(
        clustered.obs["again"].astype(str), clustered.obs["jojoscl"].astype(str)
    )


def test_cuts_are_nested_and_near_the_types(clustered):
    for k in (2, 3, 5, 8):
        jojoscl.cut(clustered, k)
        assert clustered.obs[f"jojoscl_{k}"].nunique() == k
    for low, high in ((2, 3), (3, 4), (4, 5), (5, 8)):
        names = ["jojoscl" if k == 4 else f"jojoscl_{k}" for k in (low, high)]
        assert len(clustered.obs[names].drop_duplicates()) == high
    assert adjusted_rand_score(clustered.obs["cell_type"], clustered.obs["jojoscl_5"]) > 0.9


def test_the_tree_survives_a_file_and_a_subset(clustered, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "x.h5ad"
    clustered.write_h5ad(path)
    read = ad.read_h5ad(path)[::2].copy()
    jojoscl.cut(read, 3)
    jojoscl.cut(clustered, 3)
    assert read.obs["jojoscl_3"].astype(str).equals(clustered.obs["jojoscl_3"].astype(str)[::2])


def test_cells_that_restrict_to_left_out_are_in_no_cluster(cells):
    adata = cells.copy()
    jojoscl.cluster(adata, 2, n_draws=1, restrict_to=("cell_type", ["type1", "type2"]))
    jojoscl.cut(adata, 4, "jojoscl_R")
    found = adata.obs["jojoscl_R_4"]
    assert found.nunique() == 4
    assert found.isna().equals(adata.obs["cell_type"] == "type3")


def test_a_wrong_number_is_refused(clustered):
    assert_refused(
        lambda k: jojoscl.cut(clustered, k),
        *[
            (k, "n_clusters must be a whole number from 2 to")
            for k in [0, 1, 2.5, True, "3", 10_000]
        ],
    )


def test_without_a_tree_the_sentence_says_what_to_call():
    with pytest.raises(UserError, match=r"call jojoscl\.cluster first"):
        jojoscl.cut(AnnData(np.ones((4, 3))), 2)
    with pytest.raises(UserError, match="must be an AnnData"):
        jojoscl.cut(pd.DataFrame(), 2)
