"""The default method's module: where it starts, what its clusters are, and what SURE says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jojoscl.methods.jojoscl.method import JojoSCL
from jojoscl.methods.jojoscl.module import JojoSCLModule


def module(n_cells: int = 60, k: int = 3, **settings: object) -> JojoSCLModule:
    loadings = torch.linalg.qr(torch.randn(20, 5, generator=torch.Generator().manual_seed(0)))[0]
    return JojoSCLModule(JojoSCL(**settings), loadings, n_cells, k, seed=0, max_epochs=2)  # type: ignore[arg-type]


def test_it_starts_at_the_anchor() -> None:
    made = module()
    x = torch.randn(7, 20, generator=torch.Generator().manual_seed(1))
    loadings = torch.linalg.qr(torch.randn(20, 5, generator=torch.Generator().manual_seed(0)))[0]
    torch.testing.assert_close(made(x)["h"], x @ loadings, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made.key(x), made.query(x))
    assert not any(parameter.requires_grad for parameter in made.key.parameters())


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two = module().state_dict(), module().state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_clusters_are_renewed_from_the_embedding() -> None:
    made = module(overcluster=1)
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 20)
    h = (10 * np.eye(5)[truth] + 0.1 * rng.standard_normal((60, 5))).astype(np.float32)
    labels = made.renew_clusters(h).numpy()
    assert len({(a, b) for a, b in zip(truth, labels, strict=True)}) == 3
    assert made.sizes.tolist() == [20, 20, 20]
    for k in range(3):
        np.testing.assert_allclose(made.centroids[k], h[labels == k].mean(0), rtol=1e-5)
    within = sum(((h[labels == k] - h[labels == k].mean(0)) ** 2).sum() for k in range(3)) / (5 * 57)
    assert float(made.within) == pytest.approx(within, rel=1e-4)


def test_sure_falls_with_the_distance_to_the_centroid() -> None:
    made = module(overcluster=1)
    h = np.repeat(10 * np.eye(5, dtype=np.float32)[:3], 20, axis=0) + 0.01 * np.arange(60, dtype=np.float32)[:, None]
    made.renew_clusters(h)
    index = torch.arange(60)
    near = torch.from_numpy(h)
    noise = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    assert made.sure_loss(near + noise, near - noise, index) < made.sure_loss(near + 3 + noise, near + 3 - noise, index)
