"""From embeddings to clusters."""

import functools
import warnings
from contextlib import AbstractContextManager

import numpy as np
from threadpoolctl import ThreadpoolController

from jojoscl.core import gpu

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

    if gpu.in_use():
        return gpu.kmeans(x, n_clusters, weights, seed)
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
