"""A sketch of many cells, in which rare types are less rare, and how the others join its clusters.

A random subset of 100,000 cells holds 7 of a type of 50: an encoder that is fitted on it shrinks
what tells these apart. So the subset is chosen again, with as many cells of each community as there
are, up to a common number; and communities that are small are searched for parts by an encoder of
their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from jojoscl.cells.expression import Expression
from jojoscl.core.consensus import Clusters
from jojoscl.core.interface import check_n_clusters
from jojoscl.core.linkage import one_hot
from jojoscl.core.positives import communities, jaccard, nearest
from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import at_most

SIZE = 5_000  # cells of a sketch: in fewer, a rare type has a larger share
PASSES = 2  # the encoder of the first has seen few cells of a rare type, that of the second more
NEIGHBORS = 8  # of a cell in the graph of communities
RESOLUTION = 1.0  # of the communities, as in scanpy
BAND = 50_000  # cells whose labels are found at a time, for memory
LEAST_PARTS = 200  # a community with fewer cells has no parts

Encode = Callable[[np.ndarray], np.ndarray]  # from cells (m,) to loadings (g, d), fitted on these


def sketch(
    x: Expression, limit: int, encode: Encode, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells (m,) of x (n, g) to cluster, and how many cells each stands for (m,).

    All, or above `limit` at most 5,000 and `limit`, even over communities of all cells.

    Parameters
    ----------
    x
        Preprocessed cells.
    limit
        So many cells are clustered without a sketch.
    encode
        Fits the loadings (g, d) of an embedding on some cells (m,).
    seed
        Of the first subset, which is random, and of the choice in each community.
    """
    n, size = len(x), min(limit, SIZE)
    if n <= limit:
        return np.arange(n), np.ones(n)
    some, weights = at_most(np.arange(n), size, seed=seed), np.full(size, n / size)
    for pass_ in range(PASSES):
        h = x @ encode(some)  # (n, d)
        found = _communities(h[some], seed)  # (m,)
        all_found = likeliest(h, some, found, weights)  # (n,)
        for small in np.flatnonzero(np.bincount(all_found) <= size):
            rows = np.flatnonzero(all_found == small)
            if len(rows) >= LEAST_PARTS:
                parts = _communities(x.zscores(rows) @ encode(rows), seed)
                all_found[rows] = np.where(parts == 0, small, all_found.max() + parts)
        some = even(all_found, size, seed=seed + pass_)
        of_some, sizes = all_found[some], np.bincount(all_found)
        weights = sizes[of_some] / np.bincount(of_some)[of_some]
    return some, weights


def given_k(n_clusters: int, n_cells: int, limit: int) -> int:
    """Return the number of clusters that the user gave; a :class:`UserError` if it cannot be."""
    k, size = check_n_clusters(n_clusters, n_cells), min(limit, SIZE)
    if n_cells > limit and k >= size:
        raise UserError(f"A sketch of {size} cells cannot make {k} clusters: raise sample.")
    return k


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
    h: np.ndarray, some: np.ndarray, weights: np.ndarray, found: Clusters, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group and confidence (n,) of all cells h (n, d), of which some (m,) are clustered.

    A cell takes the most likely of the K clusters, in it the group with the nearest mean, and that
    group's mean confidence.
    """
    from sklearn.metrics import pairwise_distances_argmin

    if len(some) == len(h):
        return found.groups, found.confidence
    of_group, members = found.tree.cut(k), one_hot(found.groups)  # (G,), (m, G)
    sizes = np.bincount(found.groups)
    means = ((members.T @ h[some]) / sizes[:, None]).astype(h.dtype)  # (G, d)
    labels, groups = of_group[found.groups], np.zeros(len(h), np.int64)
    clusters = likeliest(h, some, labels, weights)
    for lost in np.setdiff1d(labels, clusters):  # too few to be likeliest anywhere: they stay
        clusters[some[labels == lost]] = lost
    for cluster in np.unique(clusters):
        rows, own = np.flatnonzero(clusters == cluster), np.flatnonzero(of_group == cluster)
        groups[rows] = own[pairwise_distances_argmin(h[rows], means[own])]
    confidence = np.bincount(found.groups, found.confidence) / sizes  # (G,)
    return groups, confidence.astype(np.float32)[groups]


def likeliest(
    h: np.ndarray, some: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the most likely label (n,) of all cells h (n, d), given labels (m,) of some of them.

    Labels are Gaussian with one covariance, that of the contrast's noise, and as frequent as the
    cells that theirs stand for: a rare one takes no cells from the border of a large one. Fisher's
    discriminant analysis, by scikit-learn.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # slow to import
    from sklearn.utils import gen_batches

    share = np.bincount(labels, weights) / weights.sum()
    if len(share) == 1:
        return np.zeros(len(h), np.int64)
    varied = np.flatnonzero(np.ptp(h[some], axis=0))  # a component may be shrunk to nothing
    fitted = LinearDiscriminantAnalysis(priors=share).fit(h[np.ix_(some, varied)], labels)
    bands = gen_batches(len(h), BAND)
    return np.concatenate([fitted.predict(h[band][:, varied]) for band in bands])


def _communities(h: np.ndarray, seed: int) -> np.ndarray:
    neighbors = nearest(h, min(NEIGHBORS, len(h)))
    return communities(jaccard(neighbors), RESOLUTION, seed=seed)
