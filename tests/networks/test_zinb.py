"""The ZINB likelihood against scipy, and the autoencoder around it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logit
from scipy.stats import nbinom, poisson

from jojoscl.networks.scdeepcluster import ScDeepClusterModule
from jojoscl.networks.zinb import squared_distances, zinb_nll
from jojoscl.utils.errors import UserError


def nll(
    x: Any, mu: Any, theta: Any, pi: Any, dtype: torch.dtype = torch.float64, **settings: Any
) -> float:
    """zinb_nll of numbers or arrays that broadcast."""
    arrays = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (x, mu, theta, logit(pi))))
    return zinb_nll(
        *(torch.tensor(np.atleast_2d(a), dtype=dtype) for a in arrays), **settings
    ).item()


def reference(x: Any, mu: Any, theta: Any, pi: Any) -> float:
    """-log of pi [x = 0] + (1 - pi) NB(x), mean, by scipy."""
    pi, mu, theta = np.asarray(pi), np.asarray(mu), np.asarray(theta)
    others = np.log1p(-pi) + nbinom.logpmf(x, theta, theta / (theta + mu))
    return float(-np.where(np.equal(x, 0), np.logaddexp(np.log(pi), others), others).mean())


def test_likelihood_equals_scipy():
    rng = np.random.default_rng(0)
    shape = (40, 30)
    x, mu = rng.poisson(2.0, shape) * rng.integers(0, 2, shape), rng.lognormal(0, 2, shape)
    theta, pi = rng.lognormal(0, 2, shape), rng.uniform(0.01, 0.99, shape)
    assert (x == 0).any()
    assert (x > 0).any()
    assert nll(x, mu, theta, pi) == pytest.approx(reference(x, mu, theta, pi), rel=1e-10)
    assert nll(x, mu, theta, pi, torch.float32) == pytest.approx(
        reference(x, mu, theta, pi), rel=1e-5
    )


def test_one_count_at_a_time(subtests):
    for x, pi, theta in product([0, 1, 7, 300], [1e-6, 0.3, 0.999], [1e-4, 0.5, 1e4]):
        with subtests.test(x=x, pi=pi, theta=theta):
            assert nll(x, 3.0, theta, pi) == pytest.approx(reference(x, 3.0, theta, pi), rel=1e-9)


def test_a_huge_theta_is_poisson(subtests):
    for x, dtype in product([0, 1, 5], [torch.float32, torch.float64]):
        with subtests.test(x=x, dtype=dtype):
            expected = -np.log(0.2 * (x == 0) + 0.8 * poisson.pmf(x, 2.0))
            assert nll(x, 2.0, 1e8, 0.2, dtype) == pytest.approx(expected, rel=1e-5)


def test_a_mean_near_zero(subtests):
    for dtype in [torch.float32, torch.float64]:
        with subtests.test(dtype=dtype):
            assert nll(0, 1e-30, 2.0, 0.2, dtype) == pytest.approx(0, abs=1e-6)  # a zero is certain
            # P(x) of a positive count tends to (1 - pi) Gamma(x + theta) / (Gamma(theta) x!) (mu / theta)^x
            assert nll(1, 1e-20, 2.0, 0.2, dtype) == pytest.approx(-np.log(0.8 * 1e-20), rel=1e-5)


def test_gradients_are_finite_at_the_limits_of_the_network():
    limits = [0.0, 1.0, 1e4], [1e-5, 1e6], [1e-4, 1e4], [-50.0, 50.0]
    x, *parameters = (column[None] for column in torch.cartesian_prod(*map(torch.tensor, limits)).T)
    parameters = [p.clone().requires_grad_() for p in parameters]
    loss = zinb_nll(x, *parameters)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in parameters)


def test_gradient_equals_finite_differences():
    g = torch.Generator().manual_seed(0)
    x = torch.tensor([[0.0, 1.0, 4.0], [0.0, 0.0, 20.0]], dtype=torch.float64)
    mu, theta = (
        torch.rand(2, 3, generator=g, dtype=torch.float64).add(0.5).requires_grad_()
        for _ in range(2)
    )
    pi_logit = torch.randn(2, 3, generator=g, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda *p: zinb_nll(x, *p, ridge=0.3), (mu, theta, pi_logit))


def test_ridge_adds_the_mean_square_of_pi():
    pi = np.array([0.1, 0.6])
    assert nll([0, 2], 1.0, 1.0, pi, ridge=0.5) - nll([0, 2], 1.0, 1.0, pi) == pytest.approx(
        0.5 * (pi**2).mean()
    )


def test_squared_distances():
    a, b = torch.randn(6, 3), torch.randn(4, 3)
    torch.testing.assert_close(squared_distances(a, b), (a[:, None] - b).square().sum(2))
    assert (squared_distances(a, a) >= 0).all()


@pytest.fixture
def net(method: Callable[..., Any]) -> ScDeepClusterModule:
    return ScDeepClusterModule(
        method("scdeepcluster", "encoder_dims=[16,8,4]"), n_genes=30, n_clusters=3, seed=0
    )


def test_autoencoder_shapes_and_ranges(net):
    x, size_factors = torch.randn(5, 30), torch.tensor([0.5, 1.0, 1.0, 2.0, 3.0])
    z = net(x)["z"]
    mu, theta, pi_logit = net.decode(z, size_factors)
    assert z.shape == (5, 4)
    assert (z < 0).any()  # the latent is linear
    assert mu.shape == theta.shape == pi_logit.shape == (5, 30)
    twice = net.decode(z, 2 * size_factors)
    torch.testing.assert_close(twice[0], 2 * mu)
    torch.testing.assert_close(twice[1], theta)


def test_noise_enters_only_when_asked_for(net):
    x = torch.randn(5, 30)
    torch.testing.assert_close(net.encode(x), net.encode(x))
    net.generator = torch.Generator().manual_seed(0)
    assert not torch.equal(net.encode(x, 1.0), net.encode(x, 1.0))


SHORT = ("pretrain_epochs=3", "epochs=3", "encoder_dims=[16,8,4]", "kmeans_starts=2", "tolerance=0")


def test_both_stages_are_one_log(method, bare, quiet, tmp_path):
    run = replace(quiet, folder=tmp_path)
    method("scdeepcluster", *SHORT).fit_predict(bare, 3, run=run)
    table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
    np.testing.assert_array_equal(table["epoch"], np.arange(6))
    np.testing.assert_array_equal(table["cluster"].isna(), [True] * 3 + [False] * 3)


def test_a_stage_ends_early_and_stays_so(method, bare, quiet, tmp_path, subtests):
    pretrain = ("pretrain_epochs=30", "pretrain_lr=1e-9", "pretrain_patience=2", "tolerance=0")
    for stage, settings in (
        ("epochs", ("epochs=30", "tolerance=0.9")),
        ("pretrain_epochs", pretrain),
    ):
        with subtests.test(stage=stage):
            run = replace(quiet, folder=tmp_path / stage)
            made = method("scdeepcluster", *SHORT[:-1], *settings)
            first, again = (made.fit_predict(bare, 3, run=run) for _ in range(2))
            assert first.info[stage] < 30
            assert again.info == first.info
            np.testing.assert_array_equal(again.embedding, first.embedding)


def test_log_normalised_values_are_refused(method, bare, quiet):
    bare.X = bare.X.log1p()
    bare.uns["kind"] = "log1p"
    with pytest.raises(UserError, match="scdeepcluster models counts"):
        method("scdeepcluster", *SHORT).fit_predict(bare, 3, run=quiet)
