"""Clusters by linkage of small clusters, and the consensus of several partitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jojoscl.core.kmeans import kmeans


class Consensus(NamedTuple):
    """labels (n,) int64 in 0 .. K-1 and confidence (n,) float32 in [0, 1].

    A cell's confidence is the mean, over the cells of its cluster, of the share of partitions that
    put both together.
    """

    labels: np.ndarray
    confidence: np.ndarray


def size_linkage(distance: np.ndarray, sizes: np.ndarray, exponent: float) -> list[tuple[int, int]]:
    """Return all merges (i, j) of items of `sizes` (m,) cells each; the joint item goes on as i.

    The next two have the least d_ij (n_i n_j / (n_i + n_j))^exponent. With exponent 0 this is
    UPGMA, which splits off outliers; with 1 costs grow by size as Ward's do, which makes clusters
    of like sizes.

    Parameters
    ----------
    distance
        (m, m), mean over the pairs of their cells.
    """
    d, n = distance.astype(np.float64), sizes.astype(np.float64)
    cost = d * (n[:, None] * n / (n[:, None] + n)) ** exponent
    np.fill_diagonal(cost, np.inf)
    merges, alive = [], np.ones(len(n), bool)
    for _ in range(len(n) - 1):
        i, j = map(int, np.unravel_index(cost.argmin(), cost.shape))
        merges.append((i, j))
        d[i] = d[:, i] = (n[i] * d[i] + n[j] * d[j]) / (n[i] + n[j])
        n[i] += n[j]
        alive[j] = False
        cost[j] = cost[:, j] = np.inf
        cost[i] = cost[:, i] = np.where(alive, d[i] * (n[i] * n / (n[i] + n)) ** exponent, np.inf)
        cost[i, i] = np.inf
    return merges


def cut(merges: Sequence[tuple[int, int]], n_clusters: int) -> np.ndarray:
    """Return labels (m,) in 0 .. n_clusters - 1 after the first merges of :func:`size_linkage`."""
    labels = np.arange(len(merges) + 1)
    for i, j in merges[: max(0, len(labels) - n_clusters)]:
        labels[labels == j] = i
    return np.unique(labels, return_inverse=True)[1]


def mean_square_distances(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean ||x_i - x_j||^2 between cells of two clusters (m, m), and sizes (m,)."""
    sizes = np.bincount(labels)
    members = one_hot(labels) / sizes
    mean, square = members.T @ x, members.T @ np.square(x).sum(1)
    return np.maximum(square[:, None] + square - 2 * mean @ mean.T, 0), sizes


def micro_linkage(
    x: np.ndarray, n_clusters: int, n_micro: int, *, exponent: float, seed: int
) -> np.ndarray:
    """Return labels (n,): about `n_micro` K-means clusters of x (n, d), joined by size_linkage.

    There are fewer small clusters where fewer cells differ, and then there may be fewer than
    `n_clusters`.
    """
    n_micro = max(n_clusters, min(max(4 * n_clusters, n_micro), len(x) // 3))
    micro = np.unique(
        kmeans(x, n_micro, seed=seed, n_init=1, init="random")[0], return_inverse=True
    )[1]
    distance, sizes = mean_square_distances(x.astype(np.float64), micro)
    return cut(size_linkage(distance, sizes, exponent), n_clusters)[micro]


def consensus(
    partitions: Sequence[np.ndarray],
    n_clusters: int,
    *,
    exponent: float,
    n_micro: int,
    min_cells: int,
    seed: int,
) -> Consensus:
    """Return the linkage of cells by co-association, the share of partitions that join two.

    Fred & Jain, "Combining multiple clusterings using evidence accumulation", IEEE TPAMI 2005.
    Cells that all partitions treat alike are one item; if there are more than `n_micro` items,
    K-means joins them first. The tree is cut where `n_clusters` clusters hold at least `min_cells`
    cells each, looking to 5 K; a smaller one, which would use up K on outliers, joins the cluster
    it is most together with. There are fewer than `n_clusters` clusters where all partitions
    together tell fewer apart.
    """
    rows, of_cell = np.unique(np.column_stack(partitions), axis=0, return_inverse=True)
    of_cell = of_cell.ravel()
    indicators = sp.hstack(
        [one_hot(column) for column in rows.T], format="csr"
    )  # (items, clusters of all partitions)
    counts = np.bincount(of_cell)
    if len(rows) > n_micro:
        micro = kmeans(
            indicators.toarray(), n_micro, weights=counts, seed=seed, n_init=1, init="random"
        )[0]
        of_cell = np.unique(micro, return_inverse=True)[1][of_cell]
        counts = np.bincount(of_cell)
    indicators = sp.hstack([one_hot(labels) for labels in partitions], format="csr")
    profile = (
        np.asarray((one_hot(of_cell).T @ indicators).todense(), dtype=np.float64) / counts[:, None]
    )
    together = profile @ profile.T / len(partitions)
    items = _cut_large(size_linkage(1 - together, counts, exponent), counts, n_clusters, min_cells)
    items = join_small(together, counts, items, n_clusters)
    labels = items[of_cell]
    means = one_hot(labels).T @ indicators / np.bincount(labels)[:, None]
    share = np.asarray(indicators.multiply(means.tocsr()[labels]).sum(1)).ravel() / len(partitions)
    return Consensus(labels.astype(np.int64), np.minimum(share, 1).astype(np.float32))


def _cut_large(
    merges: Sequence[tuple[int, int]], sizes: np.ndarray, n_clusters: int, min_cells: int
) -> np.ndarray:
    """Return labels (m,) of the first cut with K clusters of `min_cells` or more, up to 5 K."""
    for k in range(n_clusters, max(n_clusters, min(5 * n_clusters, len(sizes))) + 1):
        labels = cut(merges, k)
        if (np.bincount(labels, sizes) >= min_cells).sum() >= n_clusters:
            break
    return labels


def join_small(
    together: np.ndarray, sizes: np.ndarray, labels: np.ndarray, n_clusters: int
) -> np.ndarray:
    """Return labels (m,): the `n_clusters` largest clusters, which the others have joined.

    It joins the one it is most together with, `together` (m, m) being the share of partitions that
    join two items.
    """
    members = one_hot(labels).multiply(sizes[:, None]).tocsr()
    of_cluster = np.asarray(members.sum(0)).ravel()
    kept = np.argsort(-of_cluster, kind="stable")[:n_clusters]
    association = members.T @ (members.T @ together).T / np.outer(of_cluster, of_cluster)
    np.fill_diagonal(association, np.inf)
    return np.unique(association[:, kept].argmax(1)[labels], return_inverse=True)[1]


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Return the rows of x (n, d) on the unit sphere; a row of zeros stays."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def one_hot(labels: np.ndarray) -> sp.csr_matrix:
    """Return (n, clusters), float32."""
    n = len(labels)
    return sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), labels)), (n, labels.max() + 1))
