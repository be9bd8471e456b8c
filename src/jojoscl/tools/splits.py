"""Which clusters are told apart by counts that did not make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from scipy.stats import t as student

from jojoscl.cells.checks import as_cells, without_labels
from jojoscl.cells.matrix import canonical, is_backed
from jojoscl.core.consensus import one_hot
from jojoscl.core.interface import Method, check_n_clusters, check_seed
from jojoscl.tools.annotate import check_key, put
from jojoscl.tools.halves import halves
from jojoscl.tools.tree import Split, cluster_tree, hierarchical, merged
from jojoscl.utils.errors import UserError


class HalfClusters(NamedTuple):
    """The cells, two halves of their counts, and of the first the clusters: labels (n,), names (K,), embedding."""

    cells: AnnData
    first: sp.csr_matrix
    second: sp.csr_matrix
    labels: np.ndarray
    names: np.ndarray
    embedding: np.ndarray


def split_tests(
    adata: AnnData,
    key: str = "jojoscl",
    *,
    n_clusters: int | None = None,
    method: Method | None = None,
    alpha: float = 0.05,
    layer: str | None = None,
    kind: str = "auto",
    seed: int = 0,
) -> pd.DataFrame:
    """Test each split of the tree of the clusters by counts that did not make them.

    A cluster always looks different on the counts that it was made of. So each count is split into
    two independent halves (:mod:`jojoscl.tools.halves`). The first half is clustered anew, and
    gives the tree and for each split the genes that tell its sides apart. The second half tests
    whether they do, by Welch's test of one side.

    The null hypothesis is that below a split the genes vary independently of each other, given the
    cells' totals. What several genes share is a real difference, also a continuum or the cell
    cycle: a kept split is no proof of two types.

    Parameters
    ----------
    adata
        Cells x genes with counts in `X` or in `layer`, and ``obs[key]`` as :func:`jojoscl.cluster`
        leaves it, or another clustering.
    key
        Column of the clusters. They say how many clusters the first half is asked for, and lend
        them their names: a cluster of the half is called like the one it shares most cells with,
        one to one.
    n_clusters
        Another number of clusters for the first half.
    method
        What clusters the first half; None is :class:`jojoscl.JojoSCL`.
    alpha
        The chance of any false split. Splits that are not significant are merged.
    layer, kind, seed
        As in :func:`jojoscl.cluster`.

    Returns
    -------
    A row for each split, the root first: split, parent (-1 for the root), left, right (names of
    clusters, with " + " between), n_left, n_right (cells), auc (how often a cell of the left scores
    higher than one of the right in the second half: .5 is no difference, 1 none in common),
    statistic (Welch's t), p, p_adjusted (by the rule of Meinshausen 2008), kept. The same is in
    ``uns[key + "_splits"]``, and the merged clusters of the first half are in ``obs[key +
    "_splits"]``.

    Raises
    ------
    UserError
        What is wrong with the counts or a setting, and what to do; `adata` is then as it was.

    Examples
    --------
    >>> jojoscl.cluster(adata)  # doctest: +SKIP
    >>> jojoscl.split_tests(adata)[["left", "right", "p_adjusted"]]  # doctest: +SKIP
    """
    if not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise UserError(f"alpha must be a number between 0 and 1, not {alpha!r}.")
    half = half_clusters(
        adata, key, n_clusters=n_clusters, method=method, layer=layer, kind=kind, seed=seed
    )
    table, groups = tested(half, alpha)
    names = [" + ".join(half.names[groups == group]) for group in range(groups.max() + 1)]
    put(
        adata,
        obs={
            f"{key}_splits": pd.Categorical.from_codes(
                groups[half.labels], pd.Index(names, dtype=object)
            )
        },
        uns={f"{key}_splits": table},
    )
    return table


def half_clusters(
    adata: AnnData,
    key: str,
    *,
    n_clusters: int | None,
    method: Method | None,
    layer: str | None,
    kind: str,
    seed: int,
) -> HalfClusters:
    """Return the halves of the counts, and the clusters of the first (see :func:`split_tests`)."""
    if not isinstance(adata, AnnData):
        raise UserError(
            f"adata must be an AnnData, not {type(adata).__name__}: make one by anndata.AnnData(counts)."
        )
    if check_key(key) not in adata.obs:
        raise UserError(
            f"There are no clusters in adata.obs[{key!r}]: call jojoscl.cluster first, or name others."
        )
    own, seed = adata.obs[key].astype(str).to_numpy(), check_seed(seed)
    cells = as_cells(adata, layer=layer, kind=kind)
    if cells.uns["kind"] != "counts":
        raise UserError(
            f"Only counts can be split into halves, and these are {cells.uns['kind']}: give the counts."
        )
    if is_backed(cells.X):
        raise UserError(
            "These cells stay in their file, and halves are made in memory: read the file without backed."
        )
    k = check_n_clusters(len(set(own)) if n_clusters is None else n_clusters, cells.n_obs)
    if method is None:
        from jojoscl.core.method import JojoSCL  # which nothing above needs

        method = JojoSCL()
    if not hasattr(method, "fit_predict") or method.takes_truth:
        raise UserError(f"method must be a method such as jojoscl.JojoSCL(), not {method!r}.")
    first, second = halves(canonical(cells.X), seed=seed)
    few = np.flatnonzero((_totals(first) == 0) | (_totals(second) == 0))
    if len(few):
        least = int(_totals(cells.X)[few].max()) + 1
        raise UserError(
            f"{len(few)} cells have too few counts to be split into halves: drop them, "
            f"for instance by scanpy.pp.filter_cells(adata, min_counts={least})."
        )
    half = without_labels(cells)
    half.X = first
    result = method.fit_predict(half, None if method.finds_k else k, seed=seed)
    labels = np.unique(result.labels, return_inverse=True)[1]
    names = matching_names(labels, own)
    order = np.array(sorted(range(len(names)), key=lambda k: str(names[k]).zfill(9)))
    return HalfClusters(
        cells, first, second, np.argsort(order)[labels], names[order], result.embedding
    )


def matching_names(labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return a name for each cluster of labels (n,): that of the one of `own` (n,) it shares most cells with.

    One to one; a cluster for which none is left is called by the first whole number that is no name
    yet.
    """
    words, codes = np.unique(own, return_inverse=True)
    shared = (one_hot(labels).T @ one_hot(codes)).toarray()
    names = dict(zip(*linear_sum_assignment(-shared), strict=True))
    free = (str(i) for i in range(len(words) + len(shared)) if str(i) not in words)
    return np.array(
        [words[names[k]] if k in names else next(free) for k in range(len(shared))], dtype=object
    )


def tested(half: HalfClusters, alpha: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table of splits (see :func:`split_tests`) and the group of each cluster (K,)."""
    splits = cluster_tree(half.embedding, half.labels)
    auc, statistic, p = welch(scores(half, splits), half.labels, splits)
    adjusted = hierarchical(p, splits)
    sizes = np.bincount(half.labels)
    table = pd.DataFrame(
        {
            "split": np.arange(len(splits)),
            "parent": np.array([split.parent for split in splits], dtype=int),
            "left": [" + ".join(half.names[list(split.left)]) for split in splits],
            "right": [" + ".join(half.names[list(split.right)]) for split in splits],
            "n_left": np.array([sizes[list(split.left)].sum() for split in splits], dtype=int),
            "n_right": np.array([sizes[list(split.right)].sum() for split in splits], dtype=int),
            "auc": auc,
            "statistic": statistic,
            "p": p,
            "p_adjusted": adjusted,
            "kept": adjusted <= alpha,
        }
    )
    return table, merged(splits, adjusted <= alpha)


def scores(half: HalfClusters, splits: Sequence[Split]) -> np.ndarray:
    """Return how far to the left of each split the second half of each cell lies, (n, K - 1).

    That is a weighted mean of the shares that the genes have of its counts, which the total does
    not move. A weight is the difference of the sides in the first half over the variance within
    them, shrunk by 1 - 1 / z^2, as SURE does.
    """
    share = sp.diags(1 / _totals(half.first)) @ half.first.astype(np.float64)
    of_cluster = one_hot(half.labels).T
    sums, squares = ((of_cluster @ x).toarray() for x in (share, share.multiply(share)))
    sizes = np.bincount(half.labels)
    weights = np.zeros((share.shape[1], len(splits)))
    for split, of_gene in zip(splits, weights.T, strict=True):
        sides = [list(split.left), list(split.right)]
        n = np.array([sizes[side].sum() for side in sides])
        left, right = means = np.array([sums[side].sum(0) for side in sides]) / n[:, None]
        variance = squares[sides[0] + sides[1]].sum(0) - n @ np.square(means)
        seen = variance > 1e-9 * n @ np.square(means)
        variance = variance[seen] / max(n.sum() - 2, 1)
        difference = (left - right)[seen]
        z2 = np.square(difference) / (variance * (1 / n).sum())
        of_gene[seen] = difference / variance * np.maximum(1 - 1 / np.maximum(z2, 1), 0)
    return (half.second @ weights) / _totals(half.second)[:, None]


def welch(scores: np.ndarray, labels: np.ndarray, splits: Sequence[Split]) -> np.ndarray:
    """Return (3, K - 1): how often left is above right, Welch's t, and the chance of a larger t.

    The chance is 1 where a side has one cell only.
    """
    found = np.tile([[0.5], [0.0], [1.0]], len(splits))
    for j, split in enumerate(splits):
        left, right = (scores[np.isin(labels, side), j] for side in (split.left, split.right))
        n, m = len(left), len(right)
        found[0, j] = (rankdata(np.concatenate([left, right]))[:n].mean() - (n + 1) / 2) / m
        if (
            min(n, m) > 1
            and (parts := np.array([left.var(ddof=1) / n, right.var(ddof=1) / m])).sum() > 0
        ):
            found[1, j] = (left.mean() - right.mean()) / np.sqrt(parts.sum())
            found[2, j] = student.sf(
                found[1, j], parts.sum() ** 2 / (np.square(parts) / [n - 1, m - 1]).sum()
            )
    return found


def _totals(counts: sp.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(1), dtype=np.float64).ravel()
