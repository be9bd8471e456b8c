"""A sketch of many cells, and how the others join its clusters."""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jojoscl import JojoSCL, simulate
from jojoscl.cells.expression import Expression
from jojoscl.core.consensus import Clusters
from jojoscl.core.contrast import Contrast
from jojoscl.core.linkage import Tree
from jojoscl.core.sketch import even, join, likeliest, sketch
from jojoscl.utils.errors import UserError


def pair(n_large: int, n_rare: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussian types (n, 6) at distance `apart`, and which is rare."""
    rare = np.repeat([0, 1], [n_large, n_rare])
    h = np.random.default_rng(0).standard_normal((len(rare), 6))
    h[:, 0] += apart * rare
    return h, rare


def test_a_sketch_is_even_over_labels_and_takes_small_ones_whole():
    labels = np.repeat([0, 1, 2], [1000, 400, 30])
    chosen = even(labels, 330, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [150, 150, 30]
    assert (np.diff(chosen) > 0).all()
    assert len(even(np.arange(50), 10, seed=0)) == 50  # one of each, however many labels


def test_a_rare_label_takes_no_cells_from_the_border_of_a_large_one():
    h, rare = pair(20_000, 100, apart=6)
    some = np.concatenate([np.arange(100), np.arange(20_000, 20_100)])
    stands_for = np.where(rare[some] == 1, 1.0, 200.0)
    by_share = likeliest(h, some, rare[some], stands_for)
    as_if_equal = likeliest(h, some, rare[some], np.ones(200))
    assert (by_share[rare == 1] == 1).mean() > 0.9
    taken = [int((labels[rare == 0] == 1).sum()) for labels in (by_share, as_if_equal)]
    assert taken[0] < 10 < taken[1]


def test_a_label_that_is_nowhere_likeliest_keeps_its_cells():
    h, rare = pair(5000, 40, apart=0)  # the same place
    some = np.r_[np.arange(200), 5000:5040]
    tree = Tree(np.array([[0, 1]]), np.array([200, 40]), 1.0)
    found = Clusters(rare[some], np.ones(240, np.float32), tree, np.ones(2))
    groups, _ = join(h, some, np.where(rare[some] == 1, 1.0, 25.0), found, 2)
    assert set(np.flatnonzero(groups == groups[5000])) <= set(range(5000, 5040))


def test_a_component_that_is_shrunk_to_nothing_does_no_harm():
    h, rare = pair(300, 300, apart=20)
    h[:, 3] = 0
    some = np.arange(0, 600, 3)
    np.testing.assert_array_equal(likeliest(h, some, rare[some], np.ones(200)), rare)


def test_cells_join_a_cluster_and_its_nearest_group():
    h, rare = pair(600, 600, apart=30)
    right = h[:, 1] > 0  # two groups of each cluster, 0 and 1, 2 and 3
    group = 2 * rare + right
    tree = Tree(np.array([[0, 1], [2, 3], [0, 2]]), np.full(4, 75), 1.0)
    some = np.arange(0, 1200, 4)
    confidence = np.where(rare[some] == 1, 0.5, 1).astype(np.float32)
    found = Clusters(group[some], confidence, tree, np.ones(2))
    groups, trust = join(h, some, np.ones(len(some)), found, 2)
    np.testing.assert_array_equal(groups // 2, rare)
    assert (groups == group).mean() > 0.9
    np.testing.assert_array_equal(trust, np.where(rare == 1, 0.5, 1).astype(np.float32))


@pytest.fixture(scope="module")
def many() -> tuple[Expression, np.ndarray]:
    """6,000 cells of three types and 90 of a fourth, preprocessed, and their types."""
    sizes = np.array([2000, 2000, 2000, 90]) / 6090
    cells = simulate(6090, 500, 4, type_sizes=sizes.tolist(), seed=1)
    types = cells.obs["cell_type"].cat.codes.to_numpy()
    return JojoSCL().preprocess(cells), types


def test_a_rare_type_has_a_larger_share_of_the_sketch_and_is_found(monkeypatch, many):
    monkeypatch.setattr("jojoscl.core.sketch.SIZE", 600)
    monkeypatch.setattr("jojoscl.core.sketch.HOLDS", 0)
    x, types = many
    method = JojoSCL(sample=1000)
    some, weights, seen, of_seen = sketch(x, 1000, partial(method.encode, x, seed=0), seed=0)
    rare = types == np.bincount(types).argmin()
    assert len(some) <= 600
    assert weights.sum() == pytest.approx(len(x))
    assert rare[some].mean() > 3 * rare.mean()
    assert len(seen) == 1000
    assert np.isin(some, seen).all()
    assert of_seen is not None
    assert np.average(rare[seen], weights=of_seen) == pytest.approx(rare[some].mean(), rel=0.1)
    found = method.fit(x, 4, seed=0)
    assert adjusted_rand_score(types, found.labels_) > 0.93
    cluster = found.labels_ == np.bincount(found.labels_[rare]).argmax()
    assert (cluster & rare).sum() > 0.9 * max(cluster.sum(), rare.sum())


@pytest.mark.parametrize("holds", [True, False])
def test_a_sketch_whose_encoder_fits_noise_is_filled_with_random_cells(monkeypatch, holds):
    monkeypatch.setattr("jojoscl.core.sketch.SIZE", 600)
    method = JojoSCL()
    x = method.preprocess(simulate(4000, 300, 3, library_size=40.0, dropout=0, seed=0))
    of_all = method.encode(x, np.arange(4000), seed=0)
    encode = partial(method.encode, x, seed=0)
    some, weights, seen, of_seen = sketch(x, 2000, (lambda _: of_all) if holds else encode, seed=0)
    assert (np.diff(some) > 0).all()
    assert len(some) <= 600 if holds else len(some) == 2000
    assert len(seen) == (1200 if holds else 2000)
    assert (of_seen is None) == (not holds)
    assert weights.sum() == pytest.approx(4000, rel=0.05)


def test_few_cells_need_no_sketch(many):
    def encode(rows: np.ndarray) -> tuple[Contrast, np.ndarray]:
        raise AssertionError

    some, weights, seen, of_seen = sketch(many[0], 10_000, encode, seed=0)
    np.testing.assert_array_equal(some, np.arange(6090))
    assert (weights == 1).all()
    np.testing.assert_array_equal(seen, some)
    assert of_seen is None


def test_more_clusters_than_the_sketch_has_cells(many):
    with pytest.raises(UserError, match="sketch of 100 cells cannot make 100 clusters"):
        JojoSCL(sample=100).fit(many[0], 100)
