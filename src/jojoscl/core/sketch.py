"""A sketch of many cells, in which rare types are less rare, and how the others join its clusters.

Of 100,000 cells 6,000 random ones hold 9 of a type of 150: an encoder that is fitted on them
shrinks what tells these apart. So the subset is chosen again, with as many cells of each community
as of the next, small ones whole; and a community that is small is searched for parts by an encoder
of its own. The last encoder is fitted on as many random cells more, weighted so that each community
keeps its share of the sketch: it fits less of the noise of single cells.

Where cells have few counts, 6,000 of them are too few: their encoder fits their noise, so that it
spreads other cells less than its own. Then the first sketch is filled up with random cells, and is
the last.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from jojoscl.cells.expression import Expression
from jojoscl.core.consensus import Clusters
from jojoscl.core.contrast import Contrast
from jojoscl.core.interface import check_n_clusters
from jojoscl.core.linkage import one_hot
from jojoscl.core.positives import communities, jaccard, nearest
from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import at_most

SIZE = 6_000  # cells of a sketch: in fewer, a rare type has a larger share
PASSES = 3  # the encoder of the first has seen few cells of a rare type, the next ones more
NEIGHBORS = 8  # of a cell in the graph of communities
RESOLUTION = 1.0  # of the communities, as in scanpy
HOLDS = 0.9  # an encoder that spreads other cells less than this times its own needs more cells
BAND = 50_000  # cells whose labels are found at a time, for memory
SMALL, LEAST_PARTS = 20, 200  # parts are sought below 1 / 20 of all cells, from 200 cells on

# From cells (m,) to the contrast and the loadings (g, d) that are fitted on them
Encode = Callable[[np.ndarray], tuple[Contrast, np.ndarray]]


class Sketch(NamedTuple):
    """The cells that are clustered, and those that the encoder is fitted on.

    Attributes
    ----------
    cells
        (m,) to cluster.
    stands_for
        (m,) how many cells each of them stands for.
    seen
        (e,) the cells of the encoder.
    weights
        (e,) their weights, of mean 1, which give each community its share of `cells`. None: all
        are 1.
    """

    cells: np.ndarray
    stands_for: np.ndarray
    seen: np.ndarray
    weights: np.ndarray | None


def sketch(x: Expression, limit: int, encode: Encode, *, seed: int) -> Sketch:
    """Return the cells of x (n, g) to cluster, and those of the encoder.

    All, or above `limit` at most 6,000 and `limit`, even over communities of all cells. If these
    are too few for an encoder, random cells are added, up to `limit`.

    Parameters
    ----------
    x
        Preprocessed cells.
    limit
        Up to this many cells are clustered without a sketch.
    encode
        Fits an embedding on some cells (m,).
    seed
        Of the first subset, which is random, and of the choice in each community.
    """
    n, size = len(x), min(limit, SIZE)
    if n <= limit:
        return Sketch(np.arange(n), np.ones(n), np.arange(n), None)
    some, weights = at_most(np.arange(n), size, seed=seed), np.full(n, n / size)
    for done in range(PASSES):
        h = x @ encode(some)[1]  # (n, d)
        too_few = done == 0 and size < limit and _fits_noise(h, some)
        found = likeliest(h, some, _communities(h[some], seed), weights[some])  # (n,)
        some, weights = _even_over(x, found, size, encode, seed)
        if too_few:
            some, weights = _filled(some, weights, limit, seed)
            return Sketch(some, weights[some], some, None)
    seen, of_seen = _filled(some, weights, min(limit, 2 * size), seed)
    shares = (of_seen / weights)[seen].astype(np.float32)
    return Sketch(some, weights[some], seen, shares / shares.mean())


def _fits_noise(h: np.ndarray, some: np.ndarray) -> bool:
    """Return whether an encoder of some cells (m,) spreads the others in h (n, d) too little."""
    return bool(np.delete(h, some, 0).var(0).sum() < HOLDS * h[some].var(0).sum())


def _filled(
    some: np.ndarray, weights: np.ndarray, limit: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return some cells and random others, `limit` in all, and what each cell (n,) stands for."""
    others = np.setdiff1d(np.arange(len(weights)), some)
    more = at_most(others, limit - len(some), seed=seed)
    chance = 1 / weights + (1 - 1 / weights) * len(more) / len(others)
    return np.sort(np.concatenate([some, more])), 1 / chance


def _even_over(
    x: Expression, found: np.ndarray, size: int, encode: Encode, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `size` cells, even over communities (n,); what each cell (n,) stands for."""
    share = share_of(np.bincount(found), size)
    some, weights = [], np.zeros(len(found))
    for community in np.unique(found):
        rows = np.flatnonzero(found == community)
        parts = np.zeros(len(rows), np.int64)
        if LEAST_PARTS <= len(rows) <= min(len(found) // SMALL, size):
            parts = _communities(x.zscores(rows) @ encode(rows)[1], seed)
        chosen = even(parts, share, seed=seed)
        some.append(rows[chosen])
        stands_for = np.bincount(parts) / np.bincount(parts[chosen], minlength=parts.max() + 1)
        weights[rows] = stands_for[parts]
    return np.sort(np.concatenate(some)), weights


def given_k(n_clusters: int, n_cells: int, limit: int) -> int:
    """Return the number of clusters that the user gave; a :class:`UserError` if it cannot be."""
    k, size = check_n_clusters(n_clusters, n_cells), min(limit, SIZE)
    if n_cells > limit and k >= size:
        raise UserError(f"A sketch of {size} cells cannot make {k} clusters: raise sample.")
    return k


def share_of(sizes: np.ndarray, total: int) -> int:
    """Return the most cells of each of several parts so that all have at most `total`, at least 1.

    >>> share_of(np.array([50, 30, 2]), 12)
    5
    """
    shares = np.arange(1, total + 1)
    return max(1, int((np.minimum(sizes[:, None], shares).sum(0) <= total).sum()))


def even(labels: np.ndarray, total: int, *, seed: int) -> np.ndarray:
    """Return at most `total` cells, rising: all of a small label (n,), as many of each other."""
    shuffled = pd.Series(labels).sample(frac=1, random_state=seed)
    chosen = shuffled.groupby(shuffled).head(share_of(np.bincount(labels), total))
    return np.sort(chosen.index.to_numpy())


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
