"""From embeddings to clusters."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager

import numpy as np
from threadpoolctl import ThreadpoolController

_BATCHES_ABOVE = 50_000  # cells


def kmeans(
    x: np.ndarray,
    n_clusters: int,
    *,
    seed: int,
    start: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    n_init: int = 10,
    init: str = "k-means++",
) -> tuple[np.ndarray, np.ndarray]:
    """Return K-means of x (n, d): labels (n,) int64 and centroids (K, d).

    `start` (K, d) warm-starts a single run. A row counts `weights` (n,) times. Above 50,000 cells
    by random batches of them (Sculley, WWW 2010). There are fewer clusters if fewer rows differ.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans  # slow to import: not before it is needed
    from sklearn.exceptions import ConvergenceWarning

    begin = {"init": start, "n_init": 1} if start is not None else {"init": init, "n_init": n_init}
    begin |= {"n_clusters": n_clusters, "random_state": seed}
    model = (
        KMeans(**begin) if len(x) <= _BATCHES_ABOVE else MiniBatchKMeans(batch_size=4096, **begin)
    )
    # Threads add up in the order they finish: with one, the same seed gives the same bits.
    with one_openmp_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rows that are equal: see above
        fitted = model.fit(x, sample_weight=weights)
    return fitted.labels_.astype(np.int64), fitted.cluster_centers_


def one_openmp_thread() -> AbstractContextManager[object]:
    """Run the block on one thread of OpenMP, whose number each thread of Python has for itself."""
    return _threadpools().limit(limits=1, user_api="openmp")


@functools.lru_cache(maxsize=1)
def _threadpools() -> ThreadpoolController:
    """Return the pools of loaded libraries: the search takes longer than K-means of a batch."""
    return ThreadpoolController()


def spread(
    x: np.ndarray, sample: np.ndarray, labels: np.ndarray, confidence: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and confidence (n,) of all rows of x (n, d), given those of `sample` (m,).

    The sample keeps its own. Each other row takes the most frequent label, and the mean confidence,
    of the nearest of up to 1,000 small clusters of the sample.
    """
    if len(sample) == len(x):
        return labels, confidence
    from sklearn.metrics import pairwise_distances_argmin
    from sklearn.metrics.cluster import contingency_matrix

    n_small = max(len(np.unique(labels)), min(1000, len(sample) // 5))
    small, centroids = kmeans(x[sample], n_small, seed=seed, n_init=1)
    votes = contingency_matrix(small, labels)
    occupied, names = np.unique(small), np.unique(labels)
    trust = np.bincount(small, confidence)[occupied] / np.bincount(small)[occupied]
    nearest = pairwise_distances_argmin(x, centroids[occupied].astype(x.dtype))
    all_labels, all_confidence = names[votes.argmax(1)][nearest], trust[nearest].astype(np.float32)
    all_labels[sample], all_confidence[sample] = labels, confidence
    return all_labels, all_confidence
