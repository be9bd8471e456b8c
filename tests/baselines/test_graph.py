"""What Leiden, Seurat and K-means share: components, and a resolution for K."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.graph import (
    ClusterAt,
    HDBSCANOnUMAP,
    Leiden,
    OnGraph,
    PearsonLeiden,
    Seurat,
    louvain,
    match_resolution,
    merge_singletons,
)
from jojoscl.cells.checks import without_labels
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.positives import jaccard, nearest
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError
from tests.small import blobs


@dataclass(kw_only=True)
class Bands(OnGraph, name="bands", n_pcs=3):
    """As many clusters of equal size as the resolution says, along the first component."""

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        rank = x[:, 0].argsort().argsort()
        return lambda resolution: (rank * max(1, round(resolution)) // len(x)).astype(np.int64)


@pytest.fixture(scope="module")
def few() -> AnnData:
    return without_labels(simulate(n_cells=60, n_genes=80, n_types=3, seed=1))


def test_without_k_the_resolution_decides(few):
    method = Bands(resolution=4.0)
    assert method.finds_k
    found = method.fit_predict(few, None)
    assert np.bincount(found.labels).tolist() == [15, 15, 15, 15]
    assert found.info == {"resolution": 4.0}
    assert found.embedding.shape == (60, 3)
    assert list(found.seconds) == ["preprocess", "train", "assign", "other"]


def test_with_k_the_resolution_is_searched(few):
    method = Bands(match_k=True)
    assert not method.finds_k
    found = method.fit_predict(few, 5)
    assert np.bincount(found.labels).tolist() == [12, 12, 12, 12, 12]
    assert round(found.info["resolution"]) == 5
    with pytest.raises(UserError, match="The number of clusters is not known"):
        method.fit_predict(few, None)


def test_matching_finds_k_where_it_exists(subtests):
    steps = np.array([0.1, 0.3, 0.35, 2.0])  # one more cluster above each

    def cluster_at(resolution: float) -> np.ndarray:
        return np.arange(100) % (1 + int((resolution > steps).sum()))

    for n_clusters, start in product([2, 3, 5], [0.01, 0.8, 50.0]):
        with subtests.test(n_clusters=n_clusters, start=start):
            labels, resolution = match_resolution(cluster_at, n_clusters, start=start)
            assert len(np.unique(labels)) == n_clusters
            np.testing.assert_array_equal(labels, cluster_at(resolution))


def test_matching_comes_as_near_as_it_can():
    labels, _ = match_resolution(lambda r: np.arange(12) % (2 if r < 1 else 6), 3, start=0.8)
    assert len(np.unique(labels)) == 2


PLAIN = Preprocess(hvg_flavor="seurat")


def test_types_are_found_without_and_with_k(cells, subtests):
    for kind, resolution in [(Leiden, 1.0), (Seurat, 0.8)]:
        with subtests.test(kind=kind):
            free, matched = (
                kind(preprocess=PLAIN),
                kind(preprocess=PLAIN, match_k=True, resolution=3.0),
            )
            assert (free.finds_k, matched.finds_k) == (True, False)
            one, two = free.fit_predict(cells, None, seed=0), matched.fit_predict(cells, 3, seed=0)
            assert one.info["resolution"] == resolution
            assert len(np.unique(two.labels)) == 3
            for result in (one, two):
                assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_a_finer_resolution_gives_more_clusters(cells, subtests):
    for kind in [Leiden, Seurat]:
        with subtests.test(kind=kind):
            rough, fine = (
                kind(preprocess=PLAIN, resolution=resolution).fit_predict(cells, None)
                for resolution in (0.1, 5.0)
            )
            assert len(np.unique(rough.labels)) < len(np.unique(fine.labels))


def test_leiden_on_pearson_residuals_chooses_its_own_genes(cells):
    method = PearsonLeiden(n_genes=100, n_pcs=10, match_k=True)
    result = method.fit_predict(cells, 3, seed=0)
    assert result.embedding.shape == (120, 10)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_leiden_finds_blobs():
    x, truth = blobs(), np.repeat(np.arange(5), 30)
    assert adjusted_rand_score(truth, Leiden().communities(x, seed=0)(1.0)) == 1


@pytest.mark.slow  # UMAP is compiled for half a minute
def test_blobs_are_found_and_every_cell_has_a_cluster():
    cluster_at = HDBSCANOnUMAP(n_neighbors=10).communities(blobs(), seed=0)
    labels = cluster_at(1.0)
    assert adjusted_rand_score(np.repeat(np.arange(5), 30), labels) > 0.9
    assert labels.min() == 0
    assert len(np.unique(cluster_at(7.0))) > 5, "smaller clusters are allowed"


def test_without_a_dense_region_all_cells_are_one_cluster(monkeypatch):
    plane = np.random.default_rng(0).standard_normal((40, 2))
    graph = AnnData(obsm={"X_umap": plane})
    monkeypatch.setattr("jojoscl.baselines.graph.neighbor_graph", lambda *_, **__: graph)
    monkeypatch.setattr("scanpy.tl.umap", lambda *_, **__: None)
    labels = HDBSCANOnUMAP(smallest=30).communities(plane, seed=0)(1.0)
    np.testing.assert_array_equal(labels, np.zeros(40))


def shared_neighbors(x: np.ndarray) -> sp.csr_matrix:
    return jaccard(nearest(x, 10), 1 / 15)


def test_seurat_v3_genes_and_louvain_find_the_types(cells):
    result = Seurat(preprocess={"n_top_genes": 100}).fit_predict(cells, None, seed=0)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_louvain_finds_blobs_and_repeats_itself():
    graph = shared_neighbors(blobs())
    labels = louvain(graph, 0.5, seed=0, n_starts=3)
    truth = np.repeat(np.arange(5), 30)
    assert len({*zip(labels, truth, strict=True)}) == 5
    rough = shared_neighbors(np.random.default_rng(1).standard_normal((200, 5)))
    one, two = (louvain(rough, 1.0, seed=3, n_starts=1) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert any((louvain(rough, 1.0, seed=seed, n_starts=1) != one).any() for seed in range(5))


def test_louvain_without_edges():
    assert len(set(louvain(sp.csr_matrix((4, 4)), 1.0, seed=0, n_starts=1))) == 4


def test_singletons_join_the_cluster_they_are_best_connected_to():
    weights = np.zeros((6, 6))
    weights[4, [0, 1, 2]] = [0.2, 0.2, 0.5]  # mean .2 to the cluster {0, 1}, .25 to {2, 3}
    weights += weights.T
    graph = sp.csr_matrix(weights)
    merged = merge_singletons(np.array([0, 0, 1, 1, 2, 3]), graph)
    np.testing.assert_array_equal(merged, [0, 0, 1, 1, 1, 2])  # the last has no edge


def test_matching_on_a_graph():
    graph = shared_neighbors(blobs())
    for k in (5, 8):
        labels, _ = match_resolution(lambda r: louvain(graph, r, seed=0, n_starts=2), k, start=0.8)
        assert len(np.unique(labels)) == k
