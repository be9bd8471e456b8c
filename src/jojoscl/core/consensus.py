"""The consensus of several partitions: a tree of cells, and how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jojoscl.core.kmeans import kmeans
from jojoscl.core.linkage import Tree, in_common, one_hot, size_linkage


class Clusters(NamedTuple):
    """Groups (m,) and confidence (m,) of cells, the tree of groups, stability (K,) of clusters."""

    groups: np.ndarray
    confidence: np.ndarray
    tree: Tree
    stability: np.ndarray


def consensus(
    partitions: Sequence[np.ndarray],
    weights: Sequence[float],
    n_groups: int,
    *,
    least: float = 1,
    seed: int,
) -> tuple[np.ndarray, Tree]:
    """Return groups (n,) of cells, and their tree by co-association: how many partitions join them.

    Fred & Jain, "Combining multiple clusterings using evidence accumulation", IEEE TPAMI 2005.
    Cells that all partitions treat alike are one group; if there are more than `n_groups`, K-means
    joins them first.

    Parameters
    ----------
    partitions
        Clusters (n,) from 0 on.
    weights
        How much each counts.
    n_groups
        How many groups there are at most.
    least
        Fewer cells count as outliers in the tree.
    """
    rows, groups = np.unique(np.column_stack(partitions), axis=0, return_inverse=True)
    groups = groups.ravel()
    if len(rows) > n_groups:
        indicators = sp.hstack([one_hot(column) for column in rows.T]).toarray()
        scale = np.repeat(np.sqrt(weights), [column.max() + 1 for column in rows.T])
        sizes = np.bincount(groups)
        joined = kmeans(
            indicators * scale, n_groups, weights=sizes, seed=seed, n_init=1, init="random"
        )[0]
        groups = np.unique(joined, return_inverse=True)[1][groups]
    sizes = np.bincount(groups)
    together = np.zeros((len(sizes), len(sizes)))
    for partition, weight in zip(partitions, weights, strict=True):
        share = in_common(groups, partition) / sizes[:, None]  # (m, K)
        together += weight / sum(weights) * share @ share.T
    return groups, size_linkage(1 - together, sizes, 0, least)


def confidence_of(partitions: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return the confidence (n,) float32 of each cell in its cluster, 0 to 1.

    The mean, over the cells of its cluster, of the share of partitions that put both together.
    """
    share = np.zeros(len(labels))
    for partition in partitions:
        table = in_common(labels, partition)  # (K, clusters)
        share += (table / table.sum(1, keepdims=True))[labels, partition]
    return np.asarray(share / len(partitions), np.float32)


def stability_of(partitions: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return how well each cluster (K,) comes back in the partitions, 0 to 1.

    The mean over partitions of the Jaccard index with the cluster that is most alike (Hennig,
    "Cluster-wise assessment of cluster stability", Comput Stat Data Anal 2007).
    """
    found = np.zeros(labels.max() + 1)
    for partition in partitions:
        both = in_common(labels, partition)  # (K, clusters)
        either = both.sum(1, keepdims=True) + both.sum(0) - both
        found += (both / either).max(1)
    return found / len(partitions)
