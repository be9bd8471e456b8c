"""From embeddings to clusters, and to their number."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jojoscl.assign import estimate_n_clusters, leiden, neighbour_graph


def blobs(k: int, size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Cells (k * size, 12) far apart by type, and their types."""
    rng = np.random.default_rng(k)
    types = np.repeat(np.arange(k), size)
    return (10 * rng.standard_normal((k, 12))[types] + rng.standard_normal((k * size, 12))), types


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_the_number_of_blobs_is_estimated(k: int) -> None:
    assert estimate_n_clusters(blobs(k)[0], min_cells=3, seed=0) == k


def test_communities_are_the_blobs() -> None:
    x, types = blobs(4)
    assert adjusted_rand_score(types, leiden(neighbour_graph(x, 15, seed=0), 1.0, seed=0)) == 1


def test_communities_below_the_least_size_do_not_count() -> None:
    x, _ = blobs(4)
    assert estimate_n_clusters(x, min_cells=61, seed=0) == 2  # never below two


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_few_cells(n: int) -> None:
    assert 2 <= estimate_n_clusters(np.random.default_rng(0).standard_normal((n, 3)), min_cells=1, seed=0) <= n
