"""Seurat: Louvain of shared neighbors (see test_leiden.py for what it shares with Leiden)."""

from __future__ import annotations

import random

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.graph import match_resolution
from jojoscl.baselines.seurat import Seurat, louvain, merge_singletons
from jojoscl.core.positives import jaccard, nearest
from tests.small import blobs


def shared_neighbors(x: np.ndarray) -> sp.csr_matrix:
    return jaccard(nearest(x, 10), 1 / 15)


def test_seurat_v3_genes_and_louvain_find_the_types(cells: AnnData) -> None:
    result = Seurat(preprocess={"n_top_genes": 100}).fit_predict(cells, None, seed=0)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_louvain_finds_blobs_and_repeats_itself() -> None:
    graph = shared_neighbors(blobs())
    labels = louvain(graph, 0.5, seed=0, n_starts=3)
    truth = np.repeat(np.arange(5), 30)
    assert len({*zip(labels, truth, strict=True)}) == 5
    rough = shared_neighbors(np.random.default_rng(1).standard_normal((200, 5)))
    one, two = (louvain(rough, 1.0, seed=3, n_starts=1) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert any((louvain(rough, 1.0, seed=seed, n_starts=1) != one).any() for seed in range(5))


def test_louvain_leaves_the_users_random_numbers_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    louvain(shared_neighbors(blobs()), 1.0, seed=0, n_starts=2)
    assert random.random() == expected


def test_louvain_without_edges() -> None:
    assert len(set(louvain(sp.csr_matrix((4, 4)), 1.0, seed=0, n_starts=1))) == 4


def test_singletons_join_the_cluster_they_are_best_connected_to() -> None:
    weights = np.zeros((6, 6))
    weights[4, [0, 1, 2]] = [0.2, 0.2, 0.5]  # mean .2 to the cluster {0, 1}, .25 to {2, 3}
    weights += weights.T
    graph = sp.csr_matrix(weights)
    merged = merge_singletons(np.array([0, 0, 1, 1, 2, 3]), graph)
    np.testing.assert_array_equal(merged, [0, 0, 1, 1, 1, 2])  # the last has no edge


def test_matching_on_a_graph() -> None:
    graph = shared_neighbors(blobs())
    for k in (5, 8):
        labels, _ = match_resolution(lambda r: louvain(graph, r, seed=0, n_starts=2), k, start=0.8)
        assert len(np.unique(labels)) == k
