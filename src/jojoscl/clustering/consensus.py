"""Clusters by smoothing and average linkage, and the consensus of several such partitions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from sklearn.exceptions import ConvergenceWarning

from jojoscl.clustering.graph import shared_neighbors
from jojoscl.clustering.kmeans import kmeans


def snn_mean(x: np.ndarray, n_neighbors: int, prune: float = 1 / 15) -> np.ndarray:
    """Each row of x (n, d) moved to the mean of those it shares nearest neighbors with.

    Weights are the Jaccard index of two neighborhoods (Xu & Su, Bioinformatics 2015), 0 below `prune`, 1/15
    in Seurat; a cell's own weight is the largest of all.
    """
    shared = shared_neighbors(x, min(n_neighbors, len(x) - 1), prune)
    weights = shared + sp.eye(len(x)) * (shared.max() or 1.0)
    return np.asarray(weights @ x / weights.sum(1), dtype=x.dtype)


def average_linkage(distance: np.ndarray, sizes: np.ndarray, n_clusters: int) -> np.ndarray:
    """UPGMA of items that stand for `sizes` (m,) cells each: labels (m,) in 0 .. n_clusters - 1.

    `distance` (m, m) is the mean over pairs of their cells. Scipy's linkage takes every item for one cell.
    """
    d, n = distance.astype(np.float64), sizes.astype(np.float64)
    labels = np.arange(len(n))
    np.fill_diagonal(d, np.inf)
    for _ in range(len(n) - n_clusters):
        i, j = np.unravel_index(d.argmin(), d.shape)
        merged = (n[i] * d[i] + n[j] * d[j]) / (n[i] + n[j])
        merged[[i, j]] = np.inf
        d[i] = d[:, i] = merged
        d[j] = d[:, j] = np.inf
        n[i] += n[j]
        labels[labels == j] = i
    return np.unique(labels, return_inverse=True)[1]


def mean_square_distances(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean ||x_i - x_j||^2 over pairs of cells of two clusters (m, m), and the clusters' sizes (m,)."""
    sizes = np.bincount(labels)
    members = one_hot(labels) / sizes
    mean, square = members.T @ x, members.T @ np.square(x).sum(1)
    return np.maximum(square[:, None] + square - 2 * mean @ mean.T, 0), sizes


def micro_linkage(x: np.ndarray, n_clusters: int, n_micro: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """About `n_micro` K-means clusters of x (n, d), joined by average linkage to `n_clusters`.

    The first of each cell (n,), and the second of each of the first. Fewer where fewer cells differ.
    """
    n_micro = max(n_clusters, min(max(4 * n_clusters, n_micro), len(x) // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # smoothing can make cells of a small set equal
        micro = np.unique(kmeans(x, n_micro, seed=seed, n_init=1)[0], return_inverse=True)[1]
    return micro, average_linkage(*mean_square_distances(x.astype(np.float64), micro), n_clusters)


class Consensus(NamedTuple):
    """labels (n,) int64 in 0 .. K-1 and confidence (n,) float32 in [0, 1].

    A cell's confidence is the mean, over the cells of its cluster, of the share of partitions that put both together.
    """

    labels: np.ndarray
    confidence: np.ndarray


def consensus(
    partitions: Sequence[np.ndarray], n_clusters: int, *, min_cells: int, landmarks: int, seed: int
) -> Consensus:
    """Average linkage on co-association, the share of partitions in which two cells are together.

    Fred & Jain, "Combining multiple clusterings using evidence accumulation", IEEE TPAMI 2005. The tree is cut where
    `n_clusters` clusters hold at least `min_cells` cells each; smaller ones, which would use up K on outliers, join
    the one they are most together with. Above `landmarks` cells the tree is that of a random sample, whose cells alone
    count for `min_cells`, and each other cell goes where it is most together.
    """
    n = len(partitions[0])
    indicators = sp.hstack([one_hot(labels) for labels in partitions], format="csr")  # (n, clusters of all partitions)
    sample = np.sort(np.random.default_rng(seed).choice(n, min(n, landmarks), replace=False))
    together = (indicators[sample] @ indicators[sample].T).toarray() / np.float32(len(partitions))
    tree = linkage(squareform(1 - together, checks=False), "average")
    of_sample = join_small(together, cut(tree, n_clusters, min_cells), n_clusters)
    means = (indicators[sample].T @ (one_hot(of_sample) / np.bincount(of_sample))).toarray()
    association = (indicators @ means).astype(np.float32) / len(partitions)
    labels = association.argmax(1)
    labels[sample] = of_sample
    return Consensus(labels, np.minimum(association[np.arange(n), labels], 1))


def cut(tree: np.ndarray, n_clusters: int, min_cells: int) -> np.ndarray:
    """Labels (n,) of the highest cut with `n_clusters` clusters of at least `min_cells` cells, looking to 5 K."""
    n = len(tree) + 1
    for k in range(n_clusters, min(5 * n_clusters, n) + 1):
        labels = first_merges(tree, n - k)
        if (np.bincount(labels) >= min_cells).sum() >= n_clusters:
            break
    return labels


def first_merges(tree: np.ndarray, n_merges: int) -> np.ndarray:
    """Labels (n,) after that many merges of scipy's linkage matrix: n - n_merges clusters, whatever ties there are."""
    n = len(tree) + 1
    parent = np.repeat(np.arange(n, n + n_merges), 2)
    child = tree[:n_merges, :2].astype(int).ravel()
    graph = sp.coo_matrix((np.ones(len(child)), (parent, child)), (2 * n - 1, 2 * n - 1))
    return np.unique(connected_components(graph, directed=False)[1][:n], return_inverse=True)[1]


def join_small(together: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """The `n_clusters` largest clusters keep their cells; each other cluster joins the one it is most together with."""
    sizes = np.bincount(labels)
    kept = np.argsort(-sizes, kind="stable")[:n_clusters]
    members = (one_hot(labels) / sizes).astype(np.float32)
    association = members.T @ (members.T @ together).T
    np.fill_diagonal(association, np.inf)
    return association[:, kept].argmax(1)[labels]


def one_hot(labels: np.ndarray) -> sp.csr_matrix:
    """(n, clusters), float32."""
    n = len(labels)
    return sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), labels)), (n, labels.max() + 1))
