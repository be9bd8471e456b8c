"""Both clustering losses against references written out pair by pair."""

import numpy as np
import torch

from jojoscl.networks.sczidesk import ScziDeskModule, affinity_divergence, soft_kmeans


def test_soft_kmeans():
    rng = np.random.default_rng(0)
    z, centroids = rng.standard_normal((9, 3)), rng.standard_normal((4, 3))
    total = 0.0
    for cell in z:
        distances = np.array([((cell - centre) ** 2).sum() for centre in centroids])
        w = np.exp(-(distances - distances.min()))
        w = (w / w.sum()) ** 2
        total += (w / w.sum() * distances).sum()
    loss = soft_kmeans(torch.from_numpy(z), torch.from_numpy(centroids))
    np.testing.assert_allclose(loss.item(), total / len(z), rtol=1e-10)


def test_affinity_divergence():
    z = np.random.default_rng(1).standard_normal((7, 3))
    total = 0.0
    for i in range(len(z)):
        p = np.array([1 / (1 + ((z[i] - z[j]) ** 2).sum()) for j in range(len(z)) if j != i])
        p /= p.sum()
        q = p**2 / (p**2).sum()
        total += (q * np.log(q / p)).sum()
    np.testing.assert_allclose(affinity_divergence(torch.from_numpy(z)).item(), total, rtol=1e-10)


def test_gradients_are_finite_for_equal_cells():
    z = torch.ones(5, 3, requires_grad=True)
    (affinity_divergence(z) + soft_kmeans(z, torch.ones(2, 3))).backward()
    assert z.grad.isfinite().all()


def test_clusters_are_the_nearest_centroids(method):
    net = ScziDeskModule(
        method("sczidesk", "encoder_dims=[5,4,2]"), n_genes=6, n_clusters=2, seed=0
    )
    net.start_clustering(np.array([[0, 0], [10, 0]], np.float32))
    np.testing.assert_array_equal(
        net.renew_clusters(np.array([[1, 1], [9, 1], [4, 0]], np.float32)), [0, 1, 0]
    )
