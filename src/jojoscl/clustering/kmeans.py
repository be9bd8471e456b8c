"""From embeddings to clusters."""

from __future__ import annotations

import functools

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import pairwise_distances_argmin
from threadpoolctl import ThreadpoolController

_BATCHES_ABOVE = 50_000  # cells


def kmeans(
    x: np.ndarray, n_clusters: int, *, seed: int, start: np.ndarray | None = None, n_init: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """K-means of x (n, d): labels (n,) int64 and centroids (K, d). `start` (K, d) warm-starts a single run.

    Above 50,000 cells by random batches of them (Sculley, WWW 2010).
    """
    begin = {"init": start, "n_init": 1} if start is not None else {"n_init": n_init}
    begin |= {"n_clusters": n_clusters, "random_state": seed}
    model = KMeans(**begin) if len(x) <= _BATCHES_ABOVE else MiniBatchKMeans(batch_size=4096, **begin)
    # Threads add up in the order they finish: with one, the same seed gives the same bits.
    with _threadpools().limit(limits=1, user_api="openmp"):
        fitted = model.fit(x)
    return fitted.labels_.astype(np.int64), fitted.cluster_centers_


@functools.lru_cache(maxsize=1)
def _threadpools() -> ThreadpoolController:
    """Those of the libraries that are loaded; to look for them takes longer than K-means of a batch."""
    return ThreadpoolController()


def assign(outputs: dict[str, np.ndarray], on: str, n_clusters: int, *, seed: int, n_init: int) -> np.ndarray:
    """Final clusters (n,) of un-augmented cells: K-means on "h" or "z", or the "cluster_head"'s most likely one."""
    if on == "cluster_head":
        return outputs[on].argmax(1)
    return kmeans(outputs[on], n_clusters, seed=seed, n_init=n_init)[0]


def nearest_mean(x: np.ndarray, members: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The cluster (n,) with the mean nearest to each row of x (n, d), of clusters `labels` (m,) of `members` (m, d)."""
    sums = np.stack([np.bincount(labels, column) for column in members.T], axis=1)
    means = (sums / np.bincount(labels)[:, None]).astype(x.dtype)
    return pairwise_distances_argmin(x, means)
