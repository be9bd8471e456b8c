"""Nearest neighbors, the graph of shared ones, and its communities."""

import random
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import NearestNeighbors

from jojoscl.core.interface import alone
from jojoscl.core.kmeans import one_openmp_thread
from jojoscl.core.positives import (
    BATCH,
    communities,
    jaccard,
    nearest,
    smooth,
    strongest,
    without_samples,
)
from jojoscl.utils.errors import UserError
from tests.small import blobs


def shared_neighbors(x: np.ndarray, n_neighbors: int, prune: float) -> sp.csr_matrix:
    return jaccard(nearest(x, min(n_neighbors, len(x))), prune)


def test_shared_neighbors_equal_the_jaccard_index_of_sets(subtests):
    for prune in [0.0, 1 / 15]:
        with subtests.test(prune=prune):
            x, k = np.random.default_rng(0).standard_normal((40, 3)), 7
            distances = ((x[:, None] - x) ** 2).sum(2)
            sets = [set(np.argsort(row)[:k]) for row in distances]
            assert all(i in near for i, near in enumerate(sets)), "a cell is one of its own k"
            expected = np.zeros((40, 40))
            for i in range(40):
                for j in range(40):
                    weight = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
                    if i != j and weight >= prune:
                        expected[i, j] = weight
            np.testing.assert_allclose(shared_neighbors(x, k, prune).toarray(), expected)


def test_fewer_neighbors_are_the_first_of_more():
    """So that one search serves several graphs."""
    x = np.random.default_rng(0).standard_normal((60, 4))
    found = jaccard(nearest(x, 20)[:, :7], 1 / 15)
    np.testing.assert_array_equal(found.toarray(), shared_neighbors(x, 7, 1 / 15).toarray())


def test_fewer_cells_than_neighbors():
    graph = shared_neighbors(np.random.default_rng(0).standard_normal((5, 3)), 20, 1 / 15)
    np.testing.assert_allclose(graph.toarray(), 1 - np.eye(5))


# ---- nearest neighbors and what is made of them --------------------------------------------------


def test_the_nearest_are_exact_and_the_cell_is_the_first():
    x = np.random.default_rng(0).standard_normal((60, 4))
    expected = np.linalg.norm(x[:, None] - x, axis=2).argsort(1)[:, :5]
    np.testing.assert_array_equal(nearest(x, 5), expected)


def rough_graph(n: int = 40) -> sp.csr_matrix:
    return shared_neighbors(np.random.default_rng(2).standard_normal((n, 3)), 7, 0.0)


def test_batches_do_not_change_neighbors_of_equal_cells():
    x = np.random.default_rng(0).integers(0, 3, (3 * BATCH, 20)).astype(np.float32) // 2
    with one_openmp_thread():
        expected = NearestNeighbors(n_neighbors=7).fit(x).kneighbors(x, return_distance=False)
    with alone(n_jobs=16):
        np.testing.assert_array_equal(nearest(x, 7), expected)


def test_the_strongest_edges_by_a_dense_loop(subtests):
    for n_edges in [1, 4, 100]:
        with subtests.test(n_edges=n_edges):
            graph = rough_graph()
            dense, expected = graph.toarray(), []
            for cell in range(40):
                order = sorted(
                    np.flatnonzero(dense[cell]), key=lambda other: (-dense[cell, other], other)
                )
                expected += [(cell, other, dense[cell, other]) for other in order[:n_edges]]
            assert list(zip(*strongest(graph, n_edges), strict=True)) == expected


def test_smoothing_by_a_dense_loop():
    graph, x = rough_graph(), np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    weights = graph.toarray()
    np.fill_diagonal(weights, weights.max())
    found = smooth(x, graph)
    np.testing.assert_allclose(
        found, weights @ x / weights.sum(1, keepdims=True), rtol=1e-5, atol=1e-6
    )
    assert found.dtype == np.float32


def test_smoothing_draws_blobs_together_and_mixes_none():
    x, truth = blobs(), np.repeat(np.arange(5), 30)
    found = smooth(x, shared_neighbors(x, 10, 1 / 15))
    for k in range(5):
        assert (found[truth == k].std(0) < 0.8 * x[truth == k].std(0)).all()
        np.testing.assert_allclose(found[truth == k].mean(0), x[truth == k].mean(0), atol=0.3)


def test_a_cell_without_neighbors_stays():
    x = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(smooth(x, sp.csr_matrix((4, 4))), x)
    np.testing.assert_allclose(smooth(x, shared_neighbors(x, 1, 0.0)), x)


# ---- communities, and their number ---------------------------------------------------------------


def test_communities_are_the_blobs():
    x, truth = blobs(), np.repeat(np.arange(5), 30)
    found = communities(shared_neighbors(x, 10, 1 / 15), 0.5, seed=0)
    assert adjusted_rand_score(truth, found) == 1


def test_communities_repeat_themselves_and_leave_the_users_random_numbers_alone():
    random.seed(5)
    expected = random.random()
    random.seed(5)
    one, two = (communities(rough_graph(200), 2.0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert random.random() == expected


# ---- several samples ------------------------------------------------------------------------------


@pytest.fixture
def shifted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells (300, 10) of three types in two samples, one of which is shifted."""
    rng = np.random.default_rng(0)
    types, samples = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    centers, shift = 10 * rng.standard_normal((3, 10)), 5 * rng.standard_normal(10)
    x = centers[types] + samples[:, None] * shift + rng.standard_normal((300, 10))
    return x.astype(np.float32), types, samples


def test_samples_mix_and_types_stay_apart(shifted):
    pytest.importorskip("harmonypy")
    x, types, samples = shifted
    found = without_samples(x, samples, seed=3)
    assert found.shape == x.shape
    assert found.dtype == np.float32
    assert silhouette_score(found, types) > silhouette_score(x, types) + 0.05
    within = [
        silhouette_score(h[types == k], samples[types == k]) for h in (x, found) for k in range(3)
    ]
    assert min(within[:3]) > 0.5
    assert max(within[3:]) < 0.1
    np.testing.assert_array_equal(found, without_samples(x, samples, seed=3))


def test_without_harmonypy_the_sentence_says_how_to_install_it(shifted, monkeypatch):
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(UserError, match=r"need harmonypy: pip install 'jojoscl\[batch\]'"):
        without_samples(shifted[0], shifted[2], seed=0)
