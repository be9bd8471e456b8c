"""A sketch of many cells, in which rare types are less rare, and how the others join its clusters.

A random subset of 100,000 cells holds 7 of a type of 50: an encoder that is fitted on it shrinks
what tells these apart. So the subset is chosen again, with as many cells of each community as there
are, up to a common number; and communities that are small are searched for parts by an encoder of
their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from jojoscl.cells.expression import Expression
from jojoscl.core.linkage import one_hot
from jojoscl.core.positives import communities, jaccard, nearest
from jojoscl.utils.seeding import at_most

PASSES = 2  # the encoder of the first has seen few cells of a rare type, that of the second more
NEIGHBORS = 8  # of a cell in the graph of communities
RESOLUTION = 1.0  # of the communities, as in scanpy
LEAST_PARTS = 200  # a community with fewer cells has no parts

Encode = Callable[[np.ndarray], np.ndarray]  # from cells (m,) to loadings (g, d), fitted on these


class Sketch(NamedTuple):
    """The cells (m,), rising, and how many cells each stands for (m,), itself one of them."""

    cells: np.ndarray
    weights: np.ndarray


def sketch(x: Expression, size: int, encode: Encode, *, seed: int) -> Sketch:
    """Return about `size` of the cells x (n, g), even over communities of them.

    Parameters
    ----------
    x
        Preprocessed cells.
    size
        How many cells are chosen, at most.
    encode
        Fits the loadings (g, d) of an embedding on some cells (m,).
    seed
        Of the first subset, which is random, and of the choice in each community.
    """
    n = len(x)
    some, weights = at_most(np.arange(n), size, seed=seed), np.full(size, n / size)
    for pass_ in range(PASSES):
        h = x @ encode(some)  # (n, d)
        found = _communities(h[some], seed)  # (m,)
        all_found = join(h, some, found, weights)  # (n,)
        for small in np.flatnonzero(np.bincount(all_found) <= size):
            rows = np.flatnonzero(all_found == small)
            if len(rows) >= LEAST_PARTS:
                parts = _communities(x.zscores(rows) @ encode(rows), seed)
                all_found[rows] = np.where(parts == 0, small, all_found.max() + parts)
        some = even(all_found, size, seed=seed + pass_)
        weights = (np.bincount(all_found) / np.bincount(all_found[some]))[all_found[some]]
    return Sketch(some, weights)


def even(labels: np.ndarray, size: int, *, seed: int) -> np.ndarray:
    """Return at most `size` cells (m,), rising: all of a small label (n,), as many of each other.

    >>> labels = np.repeat([0, 1, 2], [50, 30, 2])
    >>> np.bincount(labels[even(labels, 12, seed=0)]).tolist()
    [5, 5, 2]
    """
    caps = np.arange(1, size + 1)
    made = np.minimum(np.bincount(labels)[:, None], caps).sum(0)  # (size,)
    cap = max(1, int((made <= size).sum()))
    shuffled = pd.Series(labels).sample(frac=1, random_state=seed)
    return np.sort(shuffled.groupby(shuffled).head(cap).index.to_numpy())


def join(
    h: np.ndarray, some: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the most likely label of all cells h (n, d), given labels (m,) of some of them.

    Labels are Gaussian with one covariance, that of the contrast's noise, and as frequent as the
    cells that theirs stand for: a rare one takes no cells from the border of a large one. Fisher's
    discriminant analysis, by scikit-learn.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # slow to import

    share = np.bincount(labels, weights) / weights.sum()
    if len(share) == 1:
        return np.zeros(len(h), np.int64)
    fitted = LinearDiscriminantAnalysis(priors=share).fit(h[some], labels)
    return np.asarray(fitted.predict(h))


def join_groups(
    h: np.ndarray, some: np.ndarray, groups: np.ndarray, of_group: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the group (n,) of all cells h (n, d), given groups (m,) of some, in clusters (G,).

    A cell joins a cluster, see :func:`join`, and there the group with the nearest mean.
    """
    from sklearn.metrics import pairwise_distances_argmin

    clusters, joined = join(h, some, of_group[groups], weights), np.empty(len(h), np.int64)
    members = one_hot(groups)
    means = members.T @ h[some] / members.sum(0).T  # (G, d)
    for cluster in np.unique(clusters):
        rows, own = np.flatnonzero(clusters == cluster), np.flatnonzero(of_group == cluster)
        joined[rows] = own[pairwise_distances_argmin(h[rows], np.asarray(means[own], h.dtype))]
    return joined


def _communities(h: np.ndarray, seed: int) -> np.ndarray:
    neighbors = nearest(h, min(NEIGHBORS, len(h)))
    return communities(jaccard(neighbors, 1 / 15), RESOLUTION, seed=seed)
