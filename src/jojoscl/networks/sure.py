"""Stein's unbiased risk estimate (SURE) of shrinking cells toward their cluster's centroid.

===========  ===================================================================================
x_i          embedding of cell i in cluster k, one of N cells, in P dimensions
theta_i      what x_i would be without noise: x_i | theta_i ~ N(theta_i, sigma2_k I)
mu_k         centre of the cluster's prior: theta_i ~ N(mu_k, tau2_k I)
xbar_k       mean of the cluster's cells, the estimate of mu_k
sigma2_k     noise variance, per coordinate
tau2_k       prior variance: the spread of the true positions, per coordinate
b_k          sigma2_k / (sigma2_k + tau2_k), the weight on the centroid
SS_k         sum over the cluster of ||x_i - xbar_k||^2; sigma2_within = SS_k / (P (N - 1))
===========  ===================================================================================

The estimate is theta^_i = x_i - b_k (x_i - mu_k). There are three forms of its risk, the expected
||theta^ - theta||^2. In (A) mu is known (Xie, Kou & Brown, JASA 2012, equation 3), in (B) it is the
mean of the same N cells, and (U) is that of JojoSCL's released code, where one b is missing::

    (A)  b^2 ||x_i - mu||^2 + P sigma2 (1 - 2 b)
    (B)  b^2 ||x_i - xbar||^2 + P sigma2 (1 - 2 b (1 - 1/N))
    (U)  b (||x_i - mu||^2 + P (tau2 - sigma2))

One view of the cells shows only sigma2 + tau2; two views of the same cells show both.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class ClusterStats(NamedTuple):
    """Sufficient statistics of K clusters: n (K,), mean (K, P), ss (K,)."""

    n: Tensor
    mean: Tensor
    ss: Tensor


def cluster_stats(x: Tensor, labels: Tensor, n_clusters: int) -> ClusterStats:
    """Return size, mean and sum of squares of K clusters of x (N, P), given labels (N,).

    Differentiable in x.
    """
    # bincount would make the CPU wait for the GPU
    n = labels.new_zeros(n_clusters).index_add(0, labels, torch.ones_like(labels)).to(x.dtype)
    total = x.new_zeros(n_clusters, x.shape[1]).index_add(0, labels, x)
    mean = total / n.clamp(min=1)[:, None]
    # not sum(x^2) - N mean^2, which cancels in float32
    squares = (x - mean.index_select(0, labels)).square().sum(1)
    return ClusterStats(n, mean, x.new_zeros(n_clusters).index_add(0, labels, squares))


def shrinkage_weight(sigma2: Tensor, tau2: Tensor) -> Tensor:
    """Return b = sigma2 / (sigma2 + tau2), and 1 if both are 0."""
    total = sigma2 + tau2
    # A division by 0 in the branch that is not taken still makes its gradient NaN.
    safe = torch.where(total > 0, total, 1.0)
    return torch.where(total > 0, sigma2 / safe, 1.0)


def shrink(x: Tensor, mu: Tensor, b: Tensor) -> Tensor:
    """Return theta^ = x - b (x - mu) for x (N, P), mu (N, P) and b (N,)."""
    return torch.lerp(x, mu, b[:, None])


def risk_known_mean(squared_distance: Tensor, sigma2: Tensor, b: Tensor, n_dims: int) -> Tensor:
    """Return form (A) for one cell, from ||x - mu||^2. All arguments broadcast."""
    return b.square() * squared_distance + n_dims * sigma2 * (1 - 2 * b)


def risk_sample_mean(ss: Tensor, n: Tensor, sigma2: Tensor, b: Tensor, n_dims: int) -> Tensor:
    """Return form (B) summed over each cluster, (K,)."""
    # b^2 SS + N P sigma2 - 2 b P sigma2 (N - 1)
    return b.square() * ss + n_dims * sigma2 * (n - 2 * b * (n - 1))


def risk_released(ss: Tensor, n: Tensor, sigma2: Tensor, tau2: Tensor, n_dims: int) -> Tensor:
    """Return form (U) summed over each cluster, (K,): it is too large by b (1 - b) SS."""
    # b (SS + N P (tau2 - sigma2))
    return shrinkage_weight(sigma2, tau2) * (ss + n * n_dims * (tau2 - sigma2))


def sigma2_within(stats: ClusterStats, n_dims: int) -> Tensor:
    """Return SS / (P (N - 1)), an estimate of sigma2 + tau2 for each cluster, (K,)."""
    return stats.ss / (n_dims * (stats.n - 1).clamp(min=1))


def sigma2_two_views(x1: Tensor, x2: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Return the noise variance of each cluster, (K,), from two views (N, P) of the same cells."""
    # mean over the cluster of ||x1 - x2||^2 / (2 P)
    squares = (x1 - x2).square().sum(1, keepdim=True) / (2 * x1.shape[1])
    return cluster_stats(squares, labels, n_clusters).mean.squeeze(1)


def tau2_sure(within: Tensor, sigma2: Tensor) -> Tensor:
    """Return the tau2 that minimises (B): max(0, sigma2_within - sigma2)."""
    return (within - sigma2).clamp(min=0)


class Shrinkage(NamedTuple):
    """What SURE makes of K clusters: mean (K, P), and n, ss, sigma2, tau2 and b, each (K,)."""

    n: Tensor
    mean: Tensor
    ss: Tensor
    sigma2: Tensor
    tau2: Tensor
    b: Tensor


def estimate_shrinkage(x1: Tensor, x2: Tensor, labels: Tensor, n_clusters: int) -> Shrinkage:
    """Return sigma2_k, tau2_k and the b_k that minimises (B), differentiable in both views.

    From two views (N, P) of the same cells, of which the first is to be shrunk, and their clusters
    (N,).
    """
    stats = cluster_stats(x1, labels, n_clusters)
    sigma2 = sigma2_two_views(x1, x2, labels, n_clusters)
    tau2 = tau2_sure(sigma2_within(stats, x1.shape[1]), sigma2)
    return Shrinkage(*stats, sigma2, tau2, shrinkage_weight(sigma2, tau2))


def shrink_to_clusters(h: Tensor, labels: Tensor, b: Tensor) -> Tensor:
    """Return xbar_k + (1 - b_k) (h_i - xbar_k) for h (N, P), labels (N,) and b (K,)."""
    mean = cluster_stats(h.double(), labels, len(b)).mean.to(h)  # (K, P)
    return shrink(h, mean[labels], b[labels].to(h))


def loss_released(x: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Return S0, the term of JojoSCL's released code: (U) with plug-ins that make it zero.

    With sigma2 = SS / (P (N - 1)) and tau2 = sigma2 / N it is, whatever the data::

        b [SS + N P (sigma2 / N - sigma2)] = b [SS - P (N - 1) sigma2] = 0

    The released code also detaches x: there is neither a value nor a gradient.
    """
    stats, n_dims = cluster_stats(x.detach(), labels, n_clusters), x.shape[1]
    sigma2 = sigma2_within(stats, n_dims)
    risks = risk_released(stats.ss, stats.n, sigma2, sigma2 / stats.n.clamp(min=1), n_dims)
    return risks[stats.n >= 2].sum()


def loss_centroid(x: Tensor, labels: Tensor, mu: Tensor, sigma2: Tensor, tau2: Tensor) -> Tensor:
    """Return S1, the mean over cells of (A) toward fixed centroids mu (K, P).

    sigma2 and tau2 (K,) are fixed too. Only x (N, P) carries a gradient, 2 b_k^2 (x_i - mu_k) / N:
    a centre loss weighted by b_k^2.
    """
    mu, sigma2, tau2 = mu.detach()[labels], sigma2.detach()[labels], tau2.detach()[labels]
    distance = (x - mu).square().sum(1)
    return risk_known_mean(distance, sigma2, shrinkage_weight(sigma2, tau2), x.shape[1]).mean()


def loss_two_view(x1: Tensor, x2: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Return S2: (B) with sigma2 from two views (N, P) and the b that minimises it.

    Per cell and coordinate. At the minimum the risk is sigma2 - (1 - 1/N) sigma2^2 / sigma2_within:
    the loss asks that the views agree (small sigma2) and that clusters are compact (small
    sigma2_within). Clusters of one cell contribute nothing.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [2.0]])  # one cluster, SS = 2, sigma2_within = 2
    >>> loss_two_view(x, x + 1, torch.tensor([0, 0]), 1).item()  # sigma2 = 1/2: 1/2 - 1/16
    0.4375
    """
    found, n_dims = estimate_shrinkage(x1, x2, labels, n_clusters), x1.shape[1]
    risks = risk_sample_mean(found.ss, found.n, found.sigma2, found.b, n_dims)
    return torch.where(found.n >= 2, risks, 0.0).sum() / (n_dims * len(x1))
