"""Soft assignment and target against references written out cell by cell."""

import numpy as np
import pytest
import torch

from jojoscl.networks.scdeepcluster import (
    ScDeepClusterModule,
    student_t_assignment,
    target_distribution,
)


def slow_assignment(z: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Van der Maaten & Hinton's kernel with one degree of freedom, one pair at a time."""
    rows = [[1 / (1 + ((cell - centre) ** 2).sum()) for centre in centroids] for cell in z]
    return np.array([np.array(row) / sum(row) for row in rows])


def slow_target(q: np.ndarray) -> np.ndarray:
    rows = [[q_ik**2 / sum(q[:, k]) for k, q_ik in enumerate(row)] for row in q]
    return np.array([np.array(row) / sum(row) for row in rows])


def test_assignment_and_target():
    rng = np.random.default_rng(0)
    z, centroids = rng.standard_normal((12, 4)), rng.standard_normal((3, 4))
    q = student_t_assignment(torch.from_numpy(z), torch.from_numpy(centroids))
    np.testing.assert_allclose(q, slow_assignment(z, centroids), rtol=1e-10)
    np.testing.assert_allclose(target_distribution(q), slow_target(q.numpy()), rtol=1e-10)


def test_cluster_loss_is_the_divergence_of_target_and_assignment(method):
    settings = method("scdeepcluster", "encoder_dims=[5,4,2]", "gamma=2")
    net = ScDeepClusterModule(settings, n_genes=6, n_clusters=3, seed=0)
    x = torch.randn(20, 6)
    z = net(x)["z"].detach()
    net.start_clustering(np.random.default_rng(0).standard_normal((3, 2), dtype=np.float32))
    labels = net.renew_clusters(z.numpy())
    q = slow_assignment(z.numpy().astype(float), net.centroids.detach().numpy())
    p = slow_target(q)
    index = torch.arange(5, 15)
    expected = 2.0 * (p * np.log(p / q))[5:15].sum(1).mean()
    loss = net.cluster_loss(x[5:15], z[5:15], index).item()
    assert loss == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(labels, q.argmax(1))


def test_clustering_pulls_cells_and_centroids_together(method):
    net = ScDeepClusterModule(
        method("scdeepcluster", "encoder_dims=[5,4,2]"), n_genes=6, n_clusters=2, seed=0
    )
    net.start_clustering(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32))
    net.renew_clusters(net(torch.randn(20, 6))["z"].detach().numpy())
    x = torch.randn(20, 6)
    net.cluster_loss(x, net(x)["z"], torch.arange(20)).backward()
    assert net.centroids.grad.abs().sum() > 0
    assert net.encoder[0].weight.grad.abs().sum() > 0
    assert not net.target.requires_grad
