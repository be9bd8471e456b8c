"""The tree that joins clusters, and which of its splits are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jojoscl.core.linkage import Tree, one_hot, size_linkage


class Split(NamedTuple):
    """The clusters on its two sides; the number of the split above it, and on which side of that.

    For the root they are -1 and "".
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    parent: int = -1
    side: str = ""


def cluster_tree(x: np.ndarray, labels: np.ndarray) -> list[Split]:
    """Return the K - 1 splits of the clusters of x (n, d), each behind its parent.

    By linkage of the centroids, with the weight of sizes that Ward's has, so that no outliers stand
    at the root. It takes the clusters of any method. The tree of a consensus would not do: clusters
    far apart hardly share a draw, so that its root differs from seed to seed.
    """
    sizes = np.bincount(labels)
    centroids = one_hot(labels).T @ x.astype(np.float64) / sizes[:, None]
    distance = np.square(centroids[:, None] - centroids).sum(2)
    return hierarchy(size_linkage(distance, sizes, 1.0), len(sizes))


def hierarchy(tree: Tree, n_clusters: int) -> list[Split]:
    """Return the n_clusters - 1 splits that make the clusters of a cut, each behind its parent."""
    final = tree.cut(n_clusters)
    splits: list[Split] = []
    place = dict[tuple[int, ...], tuple[int, str]]()  # of the clusters on a side
    for k in range(2, int(final.max()) + 2):
        coarse, fine = tree.cut(k - 1), tree.cut(k)
        pairs = np.unique(np.column_stack([coarse, fine]), axis=0)
        divided = np.flatnonzero(np.bincount(pairs[:, 0]) == 2)[0]
        halves = (fine == half for half in pairs[pairs[:, 0] == divided, 1])
        left, right = (tuple(np.unique(final[half]).tolist()) for half in halves)
        place |= {left: (len(splits), "left"), right: (len(splits), "right")}
        splits.append(Split(left, right, *place.get(tuple(sorted(left + right)), ())))
    return splits


def hierarchical(p: np.ndarray, splits: Sequence[Split]) -> np.ndarray:
    """Return adjusted p values (K - 1,), which bound the chance of any false split.

    A split of m of the K clusters is tested at m / K of the level, and only where its parent was
    rejected (Meinshausen, "Hierarchical testing of variable importance", Biometrika 2008).
    """
    adjusted = np.ones(len(splits))
    for n, (split, value) in enumerate(zip(splits, p, strict=True)):
        own = min(1.0, value * (len(splits) + 1) / len(split.left + split.right))
        adjusted[n] = own if split.parent < 0 else max(own, adjusted[split.parent])
    return adjusted


def merged(splits: Sequence[Split], kept: np.ndarray) -> np.ndarray:
    """Return the group of each cluster (K,); below a split that is not kept, none counts."""
    groups = np.zeros(len(splits) + 1, np.int64)
    for split, real in zip(splits, kept, strict=True):
        if real:
            groups[list(split.right)] = groups.max() + 1
    return groups
