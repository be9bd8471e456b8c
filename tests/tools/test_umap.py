"""UMAP keeps neighbors together, for every shape of embedding."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from jojoscl.tools import umap
from jojoscl.tools.umap import similarities, umap_coordinates


def groups(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 5
    return rng.normal(size=(n, 10)) + 4 * rng.normal(size=(5, 10))[labels], labels


def test_neighbors_and_groups_stay_together() -> None:
    x, labels = groups()
    y = umap_coordinates(x, seed=0)
    assert y.shape == (300, 2)
    assert trustworthiness(x, y, n_neighbors=15) > 0.9
    assert silhouette_score(y, labels) > 0.8
    np.testing.assert_array_equal(y, umap_coordinates(x, seed=0))
    assert np.abs(y - umap_coordinates(x, seed=1)).max() > 0.1


def test_above_a_number_of_cells_neighbors_are_approximate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, _ = groups(200)

    class NNDescent:  # the real one compiles for 50 s
        def __init__(self, x: np.ndarray, n_neighbors: int, random_state: int) -> None:
            found = NearestNeighbors(n_neighbors=n_neighbors).fit(x).kneighbors(x)
            self.neighbor_graph = found[1].astype(np.int32), found[0].astype(np.float32)

    expected = umap_coordinates(x, seed=0)
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=NNDescent))
    monkeypatch.setattr(umap, "MOST_EXACT", 100)
    assert trustworthiness(expected, umap_coordinates(x, seed=0), n_neighbors=15) > 0.95


def test_similarities_are_those_of_the_formula() -> None:
    x, _ = groups(40)
    distances, neighbors = NearestNeighbors(n_neighbors=8).fit(x).kneighbors(x)
    one_way = np.zeros((40, 40))
    for cell in range(40):
        d = distances[cell, 1:] - distances[cell, 1]
        scales = np.geomspace(1e-3, 1e3, 200_001)
        sums = np.exp(-d[:, None] / scales).sum(0)  # grows with the scale
        one_way[cell, neighbors[cell, 1:]] = np.exp(-d / scales[np.searchsorted(sums, 3.0)])
    expected = one_way + one_way.T - one_way * one_way.T
    np.testing.assert_allclose(similarities(neighbors, distances).toarray(), expected, atol=1e-3)


@pytest.mark.parametrize(
    "x", [np.zeros((20, 3)), np.arange(30.0)[:, None], np.repeat(np.eye(4), 10, axis=0), np.eye(4)]
)
def test_odd_embeddings_have_coordinates(x: np.ndarray) -> None:
    y = umap_coordinates(x, seed=0)
    assert y.shape == (len(x), 2)
    assert np.isfinite(y).all()
