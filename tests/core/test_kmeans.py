"""K-means."""

import numpy as np
from sklearn.metrics import adjusted_rand_score

from jojoscl.core.kmeans import kmeans


def blobs(k: int, size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Cells (k * size, 12) far apart by type, and their types."""
    rng = np.random.default_rng(k)
    types = np.repeat(np.arange(k), size)
    return (10 * rng.standard_normal((k, 12))[types] + rng.standard_normal((k * size, 12))), types


def test_many_cells_are_clustered_by_batches(monkeypatch, subtests):
    for start in [None, "means"]:
        with subtests.test(start=start):
            monkeypatch.setattr("jojoscl.core.kmeans._BATCHES_ABOVE", 100)
            x, types = blobs(4)
            means = np.stack([x[types == k].mean(0) for k in range(4)])
            (labels, centroids), again = (
                kmeans(x, 4, seed=1, start=means if start else None) for _ in range(2)
            )
            np.testing.assert_array_equal(labels, again[0])
            assert adjusted_rand_score(types, labels) == 1
            np.testing.assert_allclose(centroids[labels], means[types], atol=0.5)
            if start:
                np.testing.assert_array_equal(labels, types)


def test_a_row_that_weighs_three_counts_as_three():
    x = np.random.default_rng(0).standard_normal((40, 2))
    weights, start = np.arange(40) % 3 + 1, x[:3]
    labels, centroids = kmeans(x, 3, seed=0, start=start, weights=weights)
    repeated = kmeans(np.repeat(x, weights, axis=0), 3, seed=0, start=start)
    np.testing.assert_allclose(centroids, repeated[1])
    np.testing.assert_array_equal(np.repeat(labels, weights), repeated[0])


def test_equal_rows_make_fewer_clusters_without_a_warning():
    x = np.repeat(np.eye(2), 5, axis=0)
    labels = kmeans(x, 4, seed=0)[0]
    assert adjusted_rand_score(np.repeat([0, 1], 5), labels) == 1
