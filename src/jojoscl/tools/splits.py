"""Which clusters are told apart by counts that did not make them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from scipy.stats import ttest_ind
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from jojoscl.cells.checks import as_cells, without_labels
from jojoscl.cells.matrix import canonical, is_backed
from jojoscl.core.consensus import one_hot
from jojoscl.core.interface import Method, check_n_clusters, check_seed
from jojoscl.tools.annotate import check_key, put, settings_from
from jojoscl.tools.halves import halves
from jojoscl.tools.tree import Split, cluster_tree, hierarchical, merged
from jojoscl.utils.errors import UserError

log = logging.getLogger(__name__)

LARGEST_COUNT = 2**31
SIMILAR = 0.8  # ARI below which the clusters of the half are said to be others


class HalfClusters(NamedTuple):
    """The clusters of one half of the counts.

    Attributes
    ----------
    cells
        The checked cells (n, n_genes) that are in a cluster.
    first, second
        The halves of their counts, CSR.
    labels, names
        The clusters (n,) of the first half, numbered, and their names (K,).
    embedding
        (n, d), in which they were found.
    inside
        Which cells of the user's AnnData these are, bool.
    """

    cells: AnnData
    first: sp.csr_matrix
    second: sp.csr_matrix
    labels: np.ndarray
    names: np.ndarray
    embedding: np.ndarray
    inside: np.ndarray

    def column(self, groups: np.ndarray, names: np.ndarray) -> pd.Categorical:
        """Return the group of each cell's cluster (K,), by name; NaN outside."""
        codes = np.full(len(self.inside), -1)
        codes[self.inside] = groups[self.labels]
        return pd.Categorical.from_codes(codes.tolist(), pd.Index(names.tolist(), dtype=object))


def split_tests(
    adata: AnnData,
    key: str = "jojoscl",
    *,
    n_clusters: int | None = None,
    method: Method | None = None,
    alpha: float = 0.05,
    batch_key: str | None = None,
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
        leaves it, or another clustering. Cells without a cluster (NaN) are left out.
    key
        Column of the clusters. They say how many clusters the first half is asked for, and lend
        them their names: a cluster of the half is called like the one it shares most cells with,
        one to one. The log says how much both share.
    n_clusters
        Another number of clusters for the first half.
    method
        What clusters the first half. None is :class:`jojoscl.JojoSCL` with the settings of
        ``uns[key]``, as :func:`jojoscl.cluster` left them.
    alpha
        The chance of any false split. Splits that are not significant are merged.
    batch_key, layer, kind
        As in :func:`jojoscl.cluster`; by default those of ``uns[key]``.
    seed
        As in :func:`jojoscl.cluster`.

    Returns
    -------
    A row for each split, the root first: split, parent (-1 for the root), side (of the parent:
    left or right), left, right (names of clusters, with " + " between; a name with " + " in it
    stands in brackets), n_left, n_right (cells), auc (how often a cell of the left scores higher
    than one of the right in the second half: .5 is no difference, 1 none in common), statistic
    (Welch's t), p, p_adjusted (by the rule of Meinshausen 2008), kept. ``attrs["ari"]`` is the
    agreement of the tested clusters with ``obs[key]``. The table is in ``uns[key + "_splits"]``
    too, and the merged clusters of the first half are in ``obs[key + "_splits"]``.

    Raises
    ------
    UserError
        What is wrong with the counts or a setting, and what to do; `adata` is then as it was.

    Examples
    --------
    >>> jojoscl.cluster(adata)  # doctest: +SKIP
    >>> jojoscl.split_tests(adata)[["left", "right", "p_adjusted"]]  # doctest: +SKIP
    """
    if not isinstance(alpha, Real) or not 0 < alpha < 1:
        raise UserError(f"alpha must be a number between 0 and 1, not {alpha!r}.")
    half = half_clusters(adata, key, n_clusters, method, batch_key, layer, kind, seed)
    table, groups = tested(half, float(alpha))
    table.attrs["ari"] = agreement(half, adata, key)
    merged_names = [_joined(half.names[groups == group]) for group in range(groups.max() + 1)]
    name = f"{key}_splits"
    put(adata, obs={name: half.column(groups, np.array(merged_names, object))}, uns={name: table})
    return table


def half_clusters(
    adata: AnnData,
    key: str,
    n_clusters: int | None = None,
    method: Method | None = None,
    batch_key: str | None = None,
    layer: str | None = None,
    kind: str = "auto",
    seed: int = 0,
) -> HalfClusters:
    """Return the halves of the counts, and the clusters of the first (see :func:`split_tests`)."""
    if not isinstance(adata, AnnData):
        raise UserError(
            f"adata must be an AnnData, not {type(adata).__name__}: make one by "
            "anndata.AnnData(counts)."
        )
    if check_key(key) not in adata.obs:
        raise UserError(
            f"There are no clusters in adata.obs[{key!r}]: call jojoscl.cluster first, or name "
            "others."
        )
    seed, asked = check_seed(seed), _asked(adata, key)
    method = _method(method, asked)
    batch_key = batch_key or (asked.get("batch_key") if method.takes_batch else None)
    if batch_key is not None and not method.takes_batch:
        raise UserError(
            f"{method.name} does not tell samples apart: leave out batch_key, or method."
        )
    inside = adata.obs[key].notna().to_numpy()
    cells = as_cells(
        adata if inside.all() else adata[inside].copy(),
        layer=layer or asked.get("layer"),
        kind=asked.get("kind", kind) if kind == "auto" else kind,
        batch_key=batch_key,
    )
    own = adata.obs[key][inside].astype(str).to_numpy()
    _check_counts(cells)
    k = check_n_clusters(len(set(own)) if n_clusters is None else n_clusters, cells.n_obs)
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
        cells, first, second, np.argsort(order)[labels], names[order], result.embedding, inside
    )


def _asked(adata: AnnData, key: str) -> dict[str, Any]:
    """Return what the call that made the clusters was asked for; nothing if that is not known."""
    made = adata.uns.get(key)
    params = made.get("params") if isinstance(made, Mapping) else None
    return settings_from(params) if isinstance(params, Mapping) else {}


def _method(method: Method | None, asked: Mapping[str, object]) -> Method:
    """Return `method`, or the default one with the settings that made the clusters."""
    if method is None:
        from jojoscl.core.method import JojoSCL  # which nothing above needs

        name, settings = asked.get("method", JojoSCL.name), asked.get("settings")
        if name == JojoSCL.name:
            return JojoSCL.of(settings if isinstance(settings, Mapping) else {})
        log.warning("the clusters are by %s, those of the half are by jojoscl: give method=", name)
        return JojoSCL()
    if isinstance(method, type) or not hasattr(method, "fit_predict") or method.takes_truth:
        raise UserError(f"method must be a method such as jojoscl.JojoSCL(), not {method!r}.")
    return method


def _check_counts(cells: AnnData) -> None:
    if cells.uns["kind"] != "counts":
        raise UserError(
            f"Only counts can be split into halves, and these are {cells.uns['kind']}: give the "
            "counts."
        )
    if is_backed(cells.X):
        raise UserError(
            "These cells stay in their file, and halves are made in memory: read the file without "
            "backed."
        )
    if (largest := cells.X.data.max(initial=0)) > LARGEST_COUNT:
        raise UserError(
            f"The largest count is {largest:.3g}, which no cell can have: give the counts as they "
            "were measured."
        )


def agreement(half: HalfClusters, adata: AnnData, key: str) -> float:
    """Return the ARI of the clusters of the half with ``obs[key]``, and say it in the log."""
    own = adata.obs[key][half.inside].astype(str)
    ari = float(adjusted_rand_score(own, half.labels))
    say = log.info if ari >= SIMILAR else log.warning
    say("the tested clusters, of half of the counts, agree with obs[%r] by %.2f (ARI)", key, ari)
    return ari


def matching_names(labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return names (K,) of the clusters `labels` (n,): those of `own` (n,), one to one.

    Together the pairs share as many cells as possible. A cluster without a partner is called by
    the first whole number that is no name yet.
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
            "side": [_side(split, splits) for split in splits],
            "left": [_joined(half.names[list(split.left)]) for split in splits],
            "right": [_joined(half.names[list(split.right)]) for split in splits],
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


def _joined(names: np.ndarray) -> str:
    return " + ".join(f"({name})" if " + " in name else name for name in names)


def _side(split: Split, splits: Sequence[Split]) -> str:
    if split.parent < 0:
        return ""
    return "left" if split.left[0] in splits[split.parent].left else "right"


def scores(half: HalfClusters, splits: Sequence[Split]) -> np.ndarray:
    """Return how far to the left of each split the second half of each cell lies, (n, K - 1).

    The score is a weighted mean of the genes' shares of a cell's counts, so the cell's total does
    not change it. A weight is the difference of the sides in the first half over the variance
    within them, shrunk by 1 - 1 / z^2, as SURE does.
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

    The chance is 1 where a side has one cell only, or nothing varies.
    """
    found = np.tile([[0.5], [0.0], [1.0]], len(splits))
    for j, split in enumerate(splits):
        left, right = (scores[np.isin(labels, side), j] for side in (split.left, split.right))
        both = np.concatenate([left, right])
        found[0, j] = roc_auc_score(np.arange(len(both)) < len(left), both)
        if min(len(left), len(right)) > 1 and np.ptp(left) + np.ptp(right) > 0:
            found[1:, j] = ttest_ind(left, right, equal_var=False, alternative="greater")
    return found


def _totals(counts: sp.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(1), dtype=np.float64).ravel()
