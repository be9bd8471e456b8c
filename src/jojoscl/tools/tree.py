"""The tree of the clusters: its cuts, its splits, and which of them are more than chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from jojoscl.core.interface import whole
from jojoscl.core.linkage import Tree, one_hot, size_linkage
from jojoscl.tools.annotate import check_key, put, there
from jojoscl.utils.errors import UserError


def cut(
    adata: AnnData, n_clusters: int, key: str = "jojoscl", *, key_added: str | None = None
) -> None:
    """Cut the tree of clusters at another number of them.

    Cuts are nested: a higher one only divides clusters of a lower one. The number that was asked
    for, or estimated, gives ``obs[key]`` again; the farther from it, the less the draws were about
    that number. Near the root the joins are nearly ties and depend on the seed: for a few clusters
    call :func:`jojoscl.cluster` again.

    Parameters
    ----------
    n_clusters
        How many clusters, at least 2.
    key
        The name of the results of :func:`jojoscl.cluster`.
    key_added
        The column of obs for the new clusters; None is `key` and the number, ``jojoscl_12``. Cells
        that ``restrict_to`` left out are in none, NaN.

    Raises
    ------
    UserError
        There is no tree, or it has fewer groups than `n_clusters`; `adata` is then as it was.

    Examples
    --------
    >>> jojoscl.cluster(adata, 8)  # doctest: +SKIP
    >>> jojoscl.cut(adata, 12)  # doctest: +SKIP
    >>> adata.obs[["jojoscl", "jojoscl_12"]]  # doctest: +SKIP
    """
    groups, tree = tree_of(adata, key)
    k, most = whole(n_clusters), len(tree.sizes)
    if k is None or not 2 <= k <= most:
        raise UserError(f"n_clusters must be a whole number from 2 to {most}, not {n_clusters!r}.")
    name = check_key(f"{key}_{k}" if key_added is None else key_added)
    clusters = tree.cut(k)
    labels = np.where(groups < 0, -1, clusters[groups])
    names = pd.Index([str(cluster) for cluster in range(clusters.max() + 1)], dtype=object)
    put(adata, {name: pd.Categorical.from_codes(labels, names)})


def tree_of(adata: AnnData, key: str) -> tuple[np.ndarray, Tree]:
    """Return the groups (n,) of the cells, and their tree.

    Cells that ``restrict_to`` left out are in group -1.
    """
    kept = there(adata, "uns", key).get("tree")
    if kept is None or f"{key}_group" not in adata.obs:
        raise UserError(
            f"adata.uns[{key!r}] has no tree of clusters: call jojoscl.cluster without method=, or "
            "name the key of its results."
        )
    groups = adata.obs[f"{key}_group"].fillna(-1).to_numpy(np.int64)
    return groups, Tree(np.asarray(kept["merges"]), np.asarray(kept["sizes"]), float(kept["least"]))


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
