"""What the cells of a fit say of new ones: the cluster, how sure it is, and how new the cell."""

from typing import NamedTuple

import numpy as np


class Votes(NamedTuple):
    """What the cells of the fit say of new ones, each (n,).

    Attributes
    ----------
    labels
        The clusters.
    confidence
        0 to 1, the share of the votes for the label.
    novelty
        0 to 1, the share of the cluster's own cells that are nearer to their neighbors.
    """

    labels: np.ndarray
    confidence: np.ndarray
    novelty: np.ndarray


def votes(
    h: np.ndarray, voters: np.ndarray, labels: np.ndarray, weights: np.ndarray, n_neighbors: int
) -> Votes:
    """Return what the nearest voters (m, d), of clusters and weights (m,), say of cells h (n, d).

    A cluster's votes are divided by the most that it can have, its size if that is below
    `n_neighbors`: a large one does not outvote a small one.
    """
    from sklearn.neighbors import NearestNeighbors  # slow to import

    k, sizes = min(n_neighbors, len(voters)), np.bincount(labels)
    distances, nearest = NearestNeighbors(n_neighbors=k).fit(voters).kneighbors(h)  # (n, k)
    share, of_cell = np.zeros((len(h), len(sizes)), np.float32), np.arange(len(h))
    for voter in nearest.T:
        share[of_cell, labels[voter]] += weights[voter]
    share /= np.clip(sizes, 1, k)
    found, distance = share.argmax(1), distances.mean(1)
    # The distance of a voter to the others, and the place of a new cell's among those
    others = NearestNeighbors(n_neighbors=min(k, len(voters) - 1)).fit(voters)
    own = others.kneighbors()[0].mean(1)
    novelty = np.empty(len(h), np.float32)
    for cluster in np.unique(found):
        of_cluster, here = np.sort(own[labels == cluster]), found == cluster
        novelty[here] = np.searchsorted(of_cluster, distance[here]) / (len(of_cluster) + 1)
    return Votes(found, share.max(1), novelty)
