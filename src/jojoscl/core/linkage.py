"""Linkage of small clusters, whose sizes may count, and the tree that it makes."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jojoscl.core.kmeans import kmeans


class Tree(NamedTuple):
    """How m groups of cells join: merges (m - 1, 2), the first ones first, and sizes (m,) in cells.

    The group that two make goes on under the number of the first of them. Fewer than `least` cells
    count as outliers.
    """

    merges: np.ndarray
    sizes: np.ndarray
    least: float = 1

    def splits(self) -> list[int]:
        """Return the merges in the order in which a cut undoes them.

        From the root down; those with outliers on a side come last, so that these use up no
        cluster.
        """
        below, large = self.sizes.astype(np.float64), []
        for i, j in self.merges:
            large.append(min(below[i], below[j]) >= self.least)
            below[i] += below[j]
        from_root = range(len(large) - 1, -1, -1)
        return sorted(from_root, key=lambda merge: not large[merge])

    def cut(self, n_clusters: int) -> np.ndarray:
        """Return the cluster (m,) of each group, in 0 .. n_clusters - 1 or fewer.

        Cuts at different numbers are nested: a higher one only divides clusters.
        """
        undone = set(self.splits()[: n_clusters - 1])
        labels = np.arange(len(self.sizes))
        for merge, (i, j) in enumerate(self.merges):
            if merge not in undone:
                labels[labels == labels[j]] = labels[i]
        return np.unique(labels, return_inverse=True)[1]


def size_linkage(
    distance: np.ndarray, sizes: np.ndarray, exponent: float, least: float = 1
) -> Tree:
    """Return the tree that joins groups of `sizes` (m,) cells.

    The next two have the least d_ij (n_i n_j / (n_i + n_j))^exponent. With exponent 0 this is
    UPGMA, which sees no sizes and splits off outliers; with 1 costs grow by size as Ward's do,
    which makes clusters of like sizes.

    Parameters
    ----------
    distance
        (m, m), mean over the pairs of their cells.
    least
        Fewer cells count as outliers, see :class:`Tree`.
    """
    d, n = distance.astype(np.float64), sizes.astype(np.float64)
    cost = d * (n[:, None] * n / (n[:, None] + n)) ** exponent
    np.fill_diagonal(cost, np.inf)
    merges, alive = np.empty((len(n) - 1, 2), np.int64), np.ones(len(n), bool)
    for merge in merges:
        i, j = np.unravel_index(cost.argmin(), cost.shape)
        merge[:] = i, j
        d[i] = d[:, i] = (n[i] * d[i] + n[j] * d[j]) / (n[i] + n[j])
        n[i] += n[j]
        alive[j] = False
        cost[j] = cost[:, j] = np.inf
        cost[i] = cost[:, i] = np.where(alive, d[i] * (n[i] * n / (n[i] + n)) ** exponent, np.inf)
        cost[i, i] = np.inf
    return Tree(merges, sizes, least)


def small_clusters(x: np.ndarray, n_small: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `n_small` K-means clusters (n,) of x (n, d), and the mean squared distances (m, m).

    There are fewer if fewer cells differ.
    """
    found = kmeans(x, n_small, seed=seed, n_init=1, init="random")[0]
    small = np.unique(found, return_inverse=True)[1]
    return small, mean_square_distances(x.astype(np.float64), small)


def mean_square_distances(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean ||x_i - x_j||^2 over pairs of cells of two clusters, (m, m)."""
    members = one_hot(labels) / np.bincount(labels)
    mean, square = members.T @ x, members.T @ np.square(x).sum(1)
    return np.maximum(square[:, None] + square - 2 * mean @ mean.T, 0)


def in_common(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how many cells clusters of two partitions (n,) have in common, (K, L) float32."""
    k, m = one.max() + 1, other.max() + 1
    found = np.bincount(one.astype(np.int64) * m + other, minlength=k * m)
    return found.reshape(k, m).astype(np.float32)


def one_hot(labels: np.ndarray) -> sp.csr_matrix:
    """Return (n, clusters), float32."""
    ones = np.ones(len(labels), np.float32)
    return sp.csr_matrix((ones, (np.arange(len(labels)), labels)), (len(labels), labels.max() + 1))
