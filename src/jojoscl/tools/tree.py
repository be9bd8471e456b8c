"""The tree that joins clusters, and which of its splits are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jojoscl.core.linkage import one_hot, size_linkage


class Split(NamedTuple):
    """The clusters on its two sides, and the number of the split above it; -1 for the root."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    parent: int


def cluster_tree(x: np.ndarray, labels: np.ndarray) -> list[Split]:
    """Return the K - 1 splits of the clusters of x (n, d), each behind its parent.

    By linkage of the centroids, with the weight of sizes that Ward's has, so that no outliers stand
    at the root.
    """
    sizes = np.bincount(labels)
    centroids = one_hot(labels).T @ x.astype(np.float64) / sizes[:, None]
    distance = np.square(centroids[:, None] - centroids).sum(2)
    below: list[tuple[int, ...]] = [(k,) for k in range(len(sizes))]
    sides = []
    for i, j in size_linkage(distance, sizes, 1.0).merges:
        sides.append((below[i], below[j]))
        below[i] = tuple(sorted(below[i] + below[j]))
    splits: list[Split] = []
    for left, right in reversed(sides):
        above = [
            n for n, s in enumerate(splits) if set(left + right) in (set(s.left), set(s.right))
        ]
        splits.append(Split(left, right, above[0] if above else -1))
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
