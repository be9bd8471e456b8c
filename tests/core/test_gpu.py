"""The stages by torch, here on CPU tensors: they find what the CPU's do."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jojoscl import JojoSCL, simulate
from jojoscl.core import gpu
from jojoscl.core.contrast import leading_axes
from jojoscl.core.kmeans import kmeans
from jojoscl.core.positives import nearest
from jojoscl.utils.errors import UserError

torch = pytest.importorskip("torch")


@pytest.fixture
def tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take CPU tensors for those of a GPU."""
    monkeypatch.setattr(gpu, "find", lambda: torch.device("cpu"))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(300, 12)) * np.arange(12, 0, -1) + 5).astype(np.float32)


def test_exact_neighbors_in_tiles(tensors, monkeypatch, x):
    expected = nearest(x, 9)
    monkeypatch.setattr(gpu, "TILE", 300 * 70)
    with gpu.accelerated("gpu"):
        found = nearest(x, 9)
    np.testing.assert_array_equal(found[:, 0], np.arange(300))
    assert (np.sort(found) == np.sort(expected)).mean() > 0.999


def test_principal_axes_up_to_their_sign(tensors, x):
    x = x - x.mean(0)
    expected = leading_axes(x, 4, seed=0)
    before = torch.random.get_rng_state()
    with gpu.accelerated("gpu"):
        found = leading_axes(x, 4, seed=0)
    np.testing.assert_allclose(np.abs(found.T @ expected), np.eye(4), atol=1e-3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_kmeans_finds_groups_that_are_apart(tensors):
    types = np.repeat(np.arange(3), [40, 40, 20])
    x = np.random.default_rng(0).normal(size=(100, 4)) + 30 * types[:, None]
    starts = [kmeans(x, 3, seed=seed, n_init=1, init="random") for seed in range(6)]
    with gpu.accelerated("gpu"):
        found = [kmeans(x, 3, seed=seed, n_init=1, init="random") for seed in range(6)]
    for one in (starts, found):  # a random start may have two rows of a group
        assert max(adjusted_rand_score(types, labels) for labels, _ in one) == 1
    for labels, centroids in found:
        for k in np.unique(labels):
            np.testing.assert_allclose(centroids[k], x[labels == k].mean(0), rtol=1e-4)


def test_a_row_of_weight_two_is_two_rows(tensors, x):
    with gpu.accelerated("gpu"):
        labels, centroids = gpu.kmeans(x, 2, np.where(np.arange(300) < 150, 2, 1), 0)
    mine = np.concatenate([x[:150], x])[np.concatenate([labels[:150], labels]) == 0]
    np.testing.assert_allclose(centroids[0], mine.mean(0), rtol=1e-3)


def test_the_default_method_finds_the_same_types(tensors):
    cells = simulate(800, 600, 4, library_size=3000.0, seed=0)
    types = cells.obs["cell_type"]
    found = JojoSCL(accelerator="gpu").fit(cells, 4, seed=0)
    again = JojoSCL(accelerator="gpu").fit(cells, 4, seed=0)
    np.testing.assert_array_equal(found.labels_, again.labels_)
    assert adjusted_rand_score(types, found.labels_) > 0.98


def test_without_a_gpu_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cells = simulate(60, 100, 2, seed=0)
    with pytest.raises(UserError, match="torch finds no GPU of NVIDIA or AMD: leave out"):
        JojoSCL(accelerator="gpu").fit(cells, 2)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs torch"):
        JojoSCL(accelerator="gpu").fit(cells, 2)
