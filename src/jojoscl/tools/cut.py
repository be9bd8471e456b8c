"""Other cuts of the tree that :func:`jojoscl.cluster` left, without clustering again."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from jojoscl.core.interface import whole
from jojoscl.core.linkage import Tree
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
