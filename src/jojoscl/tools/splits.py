"""Which clusters are told apart by counts that did not make them."""

from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import combine_pvalues, ttest_ind
from sklearn.metrics import roc_auc_score

from jojoscl.cells.checks import samples_of
from jojoscl.core.interface import Method
from jojoscl.core.linkage import one_hot
from jojoscl.tools.annotate import put
from jojoscl.tools.halves import HalfClusters, half_clusters, stages_of, totals_of
from jojoscl.tools.tree import Split, cluster_tree, hierarchical, merged
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import progress


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
    progress_bar: bool | None = None,
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
        As in :func:`jojoscl.cluster`; by default those of ``uns[key]``. With `batch_key` the sides
        of a split are compared within each sample.
    seed, progress_bar
        As in :func:`jojoscl.cluster`.

    Returns
    -------
    A row for each split, the root first: split, parent (-1 for the root), side (of the parent:
    left or right), left, right (names of clusters, with " + " between; a name with " + " in it
    stands in brackets), n_left, n_right (cells), auc (how often a cell of the left scores higher
    than one of the right in the second half: .5 is no difference, 1 none in common), statistic
    (Welch's t), p, p_adjusted (by the rule of Meinshausen 2008), kept. ``attrs["ari"]`` is the
    agreement of the tested clusters with ``obs[key]``. The table is in ``uns[key + "_splits"]``
    too. ``obs[key + "_splits"]`` has the clusters of ``obs[key]``, merged: those belong together
    most of whose cells are in clusters of the first half that no kept split divides.

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
    with progress("split_tests", stages_of(method), progress_bar):
        half = half_clusters(adata, key, n_clusters, method, batch_key, layer, kind, seed)
        return put_splits(adata, key, half, float(alpha))


def put_splits(adata: AnnData, key: str, half: HalfClusters, alpha: float = 0.05) -> pd.DataFrame:
    """Test the splits of the clusters of a half, and put what :func:`split_tests` puts."""
    table, groups = tested(half, alpha)
    # each of the user's clusters is in the group of the half that has most of its cells
    group = pd.crosstab(half.own, groups[half.labels]).idxmax(axis=1)
    group = group[sorted(group.index, key=lambda word: word.zfill(9))]
    names = group.groupby(group).transform(lambda one: _joined(one.index))
    column = half.column(names[half.own].to_numpy(), names.unique())
    put(adata, {f"{key}_splits": column}, uns={f"{key}_splits": table})
    return table


def tested(half: HalfClusters, alpha: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table of splits (see :func:`split_tests`) and the group of each cluster (K,)."""
    splits = cluster_tree(half.embedding, half.labels)
    auc, statistic, p = welch(scores(half, splits), half.labels, splits, samples_of(half.cells))
    adjusted = hierarchical(p, splits)
    sizes = np.bincount(half.labels)
    table = pd.DataFrame(
        {
            "split": np.arange(len(splits)),
            "parent": np.array([split.parent for split in splits], dtype=int),
            "side": [split.side for split in splits],
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
    table.attrs["ari"] = half.ari
    return table, merged(splits, adjusted <= alpha)


def _joined(names: Iterable[str]) -> str:
    return " + ".join(f"({name})" if " + " in name else name for name in names)


def scores(half: HalfClusters, splits: Sequence[Split]) -> np.ndarray:
    """Return how far to the left of each split the second half of each cell lies, (n, K - 1).

    The score is a weighted mean of the genes' shares of a cell's counts, so the cell's total does
    not change it. A weight is the difference of the sides in the first half over the variance
    within them, shrunk by 1 - 1 / z^2, as SURE does.
    """
    share = sp.diags(1 / totals_of(half.first)) @ half.first.astype(np.float64)
    of_cluster = one_hot(half.labels).T
    sums = (of_cluster @ share).toarray()
    share.data *= share.data
    squares = (of_cluster @ share).toarray()
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
    return (half.second @ weights) / totals_of(half.second)[:, None]


def welch(
    scores: np.ndarray,
    labels: np.ndarray,
    splits: Sequence[Split],
    samples: np.ndarray | None = None,
) -> np.ndarray:
    """Return (3, K - 1): how often left is above right, Welch's t, and the chance of a larger t.

    Of several samples cells are compared within each: the AUC is a mean of theirs, and their
    chances make one by Stouffer's sum of normal scores; weights are those of the sizes of the
    sides. The chance is 1 where no sample has two cells on both sides, or nothing varies.
    """
    found = np.tile([[0.5], [0.0], [1.0]], len(splits))
    samples = np.zeros(len(labels), int) if samples is None else samples
    for j, split in enumerate(splits):
        sides = [np.isin(labels, side) for side in (split.left, split.right)]
        rows, weights = [], []
        for sample in np.unique(samples):
            left, right = (scores[side & (samples == sample), j] for side in sides)
            both, n = np.concatenate([left, right]), (len(left), len(right))
            if min(n) > 1 and np.ptp(left) + np.ptp(right) > 0:
                auc = roc_auc_score(np.arange(sum(n)) < len(left), both)
                rows.append((auc, *ttest_ind(left, right, equal_var=False, alternative="greater")))
                weights.append(n[0] * n[1] / sum(n))
        if len(rows) == 1:
            found[:, j] = rows[0]
        elif rows:
            auc, _, p = np.array(rows).T
            found[0, j] = np.average(auc, weights=weights)
            found[1:, j] = combine_pvalues(p, "stouffer", np.sqrt(weights))
    return found
