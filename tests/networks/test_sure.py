"""SURE: unbiased where it should be, zero in the released code, with the gradient it claims."""

import numpy as np
import pytest
import torch

from jojoscl.networks import sure as S

N, P, DRAWS = 30, 16, 4000
SIGMA2, TAU2 = 0.3, 1.2


@pytest.fixture(scope="module")
def draws() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """mu (P,), theta (N, P) fixed once, and x (DRAWS, N, P) around it."""
    g = torch.Generator().manual_seed(7)
    mu = torch.randn(P, generator=g, dtype=torch.float64)
    theta = mu + TAU2**0.5 * torch.randn(N, P, generator=g, dtype=torch.float64)
    x = theta + SIGMA2**0.5 * torch.randn(DRAWS, N, P, generator=g, dtype=torch.float64)
    return mu, theta, x


def assert_unbiased(estimates: torch.Tensor, losses: torch.Tensor) -> None:
    difference = estimates - losses
    error = difference.std() / DRAWS**0.5
    assert abs(difference.mean()) < 3 * error
    assert error < 0.01 * losses.mean()  # sharp enough to mean something


def test_forms_a_and_b_are_unbiased(draws, subtests):
    for b in [0.05, 0.2, 0.5, 1.0]:
        with subtests.test(b=b):
            mu, theta, x = draws
            weight, sigma2, n = torch.tensor(b), torch.tensor(SIGMA2), torch.tensor(float(N))
            known, sample = x - mu, x - x.mean(1, keepdim=True)
            a = S.risk_known_mean(known.square().sum(-1), sigma2, weight, P).sum(1)
            assert_unbiased(a, (x - b * known - theta).square().sum((1, 2)))
            of_sample = S.risk_sample_mean(sample.square().sum((1, 2)), n, sigma2, weight, P)
            assert_unbiased(of_sample, (x - b * sample - theta).square().sum((1, 2)))


def test_released_form_is_biased_by_what_the_docstring_says(draws):
    mu, theta, x = draws
    b = SIGMA2 / (SIGMA2 + TAU2)
    ss = (x - mu).square().sum((1, 2))
    estimate = S.risk_released(ss, *map(torch.tensor, (float(N), SIGMA2, TAU2)), P)
    loss = ((x - b * (x - mu)) - theta).square().sum((1, 2))
    assert estimate.mean() > 1.5 * loss.mean()
    assert_unbiased(estimate - b * (1 - b) * ss, loss)


def test_shrinking_by_the_minimiser_of_b_comes_near_the_best_and_beats_no_shrinkage(draws):
    _, theta, x = draws
    x = x[:500]
    centred = x - x.mean(1, keepdim=True)
    within = centred.square().sum((1, 2)) / (P * (N - 1))
    sigma2 = torch.full_like(within, SIGMA2)
    b = S.shrinkage_weight(sigma2, S.tau2_sure(within, sigma2))

    def loss(weight: torch.Tensor) -> float:
        return float((x - weight[:, None, None] * centred - theta).square().sum((1, 2)).mean())

    oracle = min(loss(torch.full_like(b, float(value))) for value in np.linspace(0, 1, 101))
    assert loss(b) < 1.01 * oracle
    assert loss(b) < 0.9 * loss(torch.zeros_like(b))


def test_two_views_tell_noise_from_spread():
    g = torch.Generator().manual_seed(3)
    n, k = 4000, 3
    labels = torch.arange(n) % k
    sigma2, tau2 = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([0.4, 1.5, 0.1])
    noise, spread = (x.sqrt()[labels][:, None] for x in (sigma2, tau2))
    theta = 5.0 * labels[:, None] + spread * torch.randn(n, P, generator=g)
    x1, x2 = (theta + noise * torch.randn(n, P, generator=g) for _ in range(2))
    estimated = S.sigma2_two_views(x1, x2, labels, k)
    within = S.sigma2_within(S.cluster_stats(x1, labels, k), P)
    torch.testing.assert_close(estimated, sigma2, rtol=0.03, atol=0)
    torch.testing.assert_close(S.tau2_sure(within, estimated), tau2, rtol=0, atol=0.06)


def test_released_loss_is_zero_for_any_data_and_has_no_gradient(subtests):
    for seed in range(5):
        with subtests.test(seed=seed):
            g = torch.Generator().manual_seed(seed)
            x = (3 * torch.randn(200, P, generator=g, dtype=torch.float64) + 1).requires_grad_()
            labels = torch.randint(0, 7, (200,), generator=g)
            loss = S.loss_released(x, labels, 8)  # one cluster of eight is empty
            ss = S.cluster_stats(x, labels, 8).ss.sum()
            assert abs(loss) < 1e-12 * ss
            assert not loss.requires_grad


def views(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2, 4])  # 3 is empty, 4 has one cell
    theta = torch.randn(5, P, generator=g, dtype=torch.float64)[labels]
    x1, x2 = (theta + 0.7 * torch.randn(10, P, generator=g, dtype=torch.float64) for _ in range(2))
    return x1.requires_grad_(), x2.requires_grad_(), labels


def test_centroid_loss_gradient_is_the_weighted_pull_to_the_centroid():
    x, _, labels = views()
    mu, sigma2 = torch.randn(5, P, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    tau2 = torch.rand(5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(S.loss_centroid(x, labels, mu, sigma2, tau2), x)
    b = (sigma2 / (sigma2 + tau2))[labels][:, None]
    torch.testing.assert_close(gradient, 2 * b**2 * (x - mu[labels]) / len(x))


def test_two_view_loss_has_the_closed_form_and_its_gradient():
    x1, x2, labels = views()
    loss = S.loss_two_view(x1, x2, labels, 5)
    expected = 0.0
    for k in (0, 1, 2):  # clusters of fewer than two cells contribute nothing
        a, b = x1[labels == k], x2[labels == k]
        n = len(a)
        sigma2 = (a - b).square().mean() / 2
        within = (a - a.mean(0)).square().sum() / (P * (n - 1))
        risk = within * (1 - 1 / n) - sigma2 * (1 - 2 / n)
        if sigma2 < within:
            risk = sigma2 - (1 - 1 / n) * sigma2**2 / within
        expected = expected + n * risk / len(x1)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(loss, (x1, x2)), torch.autograd.grad(expected, (x1, x2)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
        assert ours.abs().sum() > 0
    few = tuple(x.detach()[:, :2].requires_grad_() for x in (x1, x2))
    assert torch.autograd.gradcheck(lambda a, b: S.loss_two_view(a, b, labels, 5), few)


def test_identical_cells_give_no_nan():
    x = torch.ones(6, P, requires_grad=True)
    loss = S.loss_two_view(x, x.detach(), torch.tensor([0, 0, 0, 1, 1, 1]), 2)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(x.grad).all()


def test_shrink_moves_by_b_toward_mu():
    x, mu = torch.zeros(3, 2), torch.ones(3, 2)
    b = torch.tensor([0.0, 0.25, 1.0])
    torch.testing.assert_close(S.shrink(x, mu, b)[:, 0], b)


def test_cluster_stats_against_numpy():
    x, _, labels = views()
    stats = S.cluster_stats(x, labels, 5)
    for k in (0, 1, 2, 4):
        mine = x[labels == k].detach().numpy()
        ss = ((mine - mine.mean(0)) ** 2).sum()
        assert stats.n[k] == len(mine)
        np.testing.assert_allclose(stats.mean[k].detach(), mine.mean(0))
        np.testing.assert_allclose(stats.ss[k].detach(), ss, atol=1e-12)
    assert stats.n[3] == 0
    assert stats.ss[3] == 0


def test_the_estimated_weight_minimises_the_risk():
    x1, x2, labels = views()
    found = S.estimate_shrinkage(x1, x2, labels, 5)

    def risk(b: torch.Tensor) -> torch.Tensor:
        return S.risk_sample_mean(found.ss, found.n, found.sigma2, b, P)[:3]

    for shift in (-0.01, 0.01):
        assert (risk((found.b + shift).clamp(0, 1)) >= risk(found.b)).all()
    torch.testing.assert_close(found.b[:3], S.shrinkage_weight(found.sigma2, found.tau2)[:3])
