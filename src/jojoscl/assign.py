"""From embeddings to clusters."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits


def kmeans(
    x: np.ndarray, n_clusters: int, *, seed: int, start: np.ndarray | None = None, n_init: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """K-means of x (n, d): labels (n,) int64 and centroids (K, d). `start` (K, d) warm-starts a single run."""
    begin = {"init": start, "n_init": 1} if start is not None else {"n_init": n_init}
    # Threads add up in the order they finish: with one, the same seed gives the same bits.
    with threadpool_limits(1, user_api="openmp"):
        fitted = KMeans(n_clusters, random_state=seed, **begin).fit(x)
    return fitted.labels_.astype(np.int64), fitted.cluster_centers_


def assign(outputs: dict[str, np.ndarray], on: str, n_clusters: int, *, seed: int, n_init: int) -> np.ndarray:
    """Final clusters (n,) of un-augmented cells: K-means on "h" or "z", or the "cluster_head"'s most likely one."""
    if on == "cluster_head":
        return outputs[on].argmax(1)
    return kmeans(outputs[on], n_clusters, seed=seed, n_init=n_init)[0]


def temporal_clusters(
    outputs: dict[str, np.ndarray],
    on: str,
    space: str,
    n_clusters: int,
    *,
    seed: int,
    start: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters (n,) made on `on` and their mean in `space` (K, P); K-means goes on from the centroids `start`."""
    if on != "cluster_head":
        return kmeans(outputs[on], n_clusters, seed=seed, start=start)
    labels, x = outputs[on].argmax(1), outputs[space]
    members = np.eye(n_clusters, dtype=x.dtype)[labels]
    return labels, members.T @ x / np.maximum(members.sum(0), 1)[:, None]
