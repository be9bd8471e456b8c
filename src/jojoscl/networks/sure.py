"""Stein's unbiased risk estimate (SURE) of shrinking cells toward their cluster's centroid.

===========  =========================================================================================
x_i          embedding of cell i in cluster k, one of N cells, in P dimensions
theta_i      what x_i would be without noise: x_i | theta_i ~ N(theta_i, sigma2_k I)
mu_k         centre of the cluster's prior: theta_i ~ N(mu_k, tau2_k I); xbar_k is its sample mean
sigma2_k     noise variance, per coordinate
tau2_k       prior variance: how far the true positions spread within the cluster, per coordinate
b_k          sigma2_k / (sigma2_k + tau2_k), the weight on the centroid
SS_k         sum over the cluster of ||x_i - xbar_k||^2; sigma2_within = SS_k / (P (N - 1))
===========  =========================================================================================

The estimate shrinks, theta^_i = x_i - b_k (x_i - mu_k). Three forms of its risk E||theta^ - theta||^2 stand here::

    (A)  b^2 ||x_i - mu||^2 + P sigma2 (1 - 2 b)                  mu known (Xie, Kou & Brown, JASA 2012, eq. 3)
    (B)  b^2 ||x_i - xbar||^2 + P sigma2 (1 - 2 b (1 - 1/N))      mu is the mean of the same N cells
    (U)  b (||x_i - mu||^2 + P (tau2 - sigma2))                   as in JojoSCL's released code: one b is missing

One view of the cells tells only sigma2 + tau2; two views of the same cells tell both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_ROWS = 1 << 16  # cells


class ClusterStats(NamedTuple):
    """Sufficient statistics of K clusters: n (K,), mean (K, P), ss (K,)."""

    n: Tensor
    mean: Tensor
    ss: Tensor


def cluster_stats(x: Tensor, labels: Tensor, n_clusters: int) -> ClusterStats:
    """Size, mean and sum of squares of each cluster; x (N, P), labels (N,) int. Differentiable in x."""
    n = _sizes(labels, n_clusters).to(x.dtype)
    total = x.new_zeros(n_clusters, x.shape[1]).index_add(0, labels, x)
    mean = total / n.clamp(min=1)[:, None]
    squares = (
        (x - mean.index_select(0, labels)).square().sum(1)
    )  # not sum(x^2) - N mean^2, which cancels in float32
    return ClusterStats(n, mean, x.new_zeros(n_clusters).index_add(0, labels, squares))


def _sizes(labels: Tensor, n_clusters: int) -> Tensor:
    """Cells in each cluster, (K,) int; bincount would make the CPU wait for the GPU."""
    return labels.new_zeros(n_clusters).index_add(0, labels, torch.ones_like(labels))


def shrinkage_weight(sigma2: Tensor, tau2: Tensor) -> Tensor:
    """B = sigma2 / (sigma2 + tau2); 1 where both are 0 (a cluster that is one point stays that point)."""
    total = sigma2 + tau2
    safe = torch.where(
        total > 0, total, 1.0
    )  # a division by 0 in the branch not taken still makes its gradient NaN
    return torch.where(total > 0, sigma2 / safe, 1.0)


def shrink(x: Tensor, mu: Tensor, b: Tensor) -> Tensor:
    """Posterior mean theta^ = x - b (x - mu): x (N, P), mu (N, P), b (N,) -> (N, P)."""
    return torch.lerp(x, mu, b[:, None])


def risk_known_mean(squared_distance: Tensor, sigma2: Tensor, b: Tensor, n_dims: int) -> Tensor:
    """Form (A): risk of one cell from ||x - mu||^2. All arguments broadcast."""
    return b.square() * squared_distance + n_dims * sigma2 * (1 - 2 * b)


def risk_sample_mean(ss: Tensor, n: Tensor, sigma2: Tensor, b: Tensor, n_dims: int) -> Tensor:
    """Form (B) summed over each cluster: b^2 SS + N P sigma2 - 2 b P sigma2 (N - 1), shape (K,)."""
    return b.square() * ss + n_dims * sigma2 * (n - 2 * b * (n - 1))


def risk_released(ss: Tensor, n: Tensor, sigma2: Tensor, tau2: Tensor, n_dims: int) -> Tensor:
    """Form (U) summed over each cluster, shape (K,): biased upward by b (1 - b) SS."""
    return shrinkage_weight(sigma2, tau2) * (ss + n * n_dims * (tau2 - sigma2))


def sigma2_within(stats: ClusterStats, n_dims: int) -> Tensor:
    """Variance within each cluster, per coordinate, with N - 1 in the denominator: sigma2 + tau2, shape (K,)."""
    return stats.ss / (n_dims * (stats.n - 1).clamp(min=1))


def sigma2_two_views(x1: Tensor, x2: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Noise variance per cluster from two views (N, P) of the same cells: mean ||x1 - x2||^2 / (2 P), shape (K,)."""
    squares = (x1 - x2).square().sum(1) / (2 * x1.shape[1])
    n = _sizes(labels, n_clusters).clamp(min=1)
    return x1.new_zeros(n_clusters).index_add(0, labels, squares) / n


def tau2_sure(within: Tensor, sigma2: Tensor) -> Tensor:
    """Return the tau2 that minimises (B), max(0, sigma2_within - sigma2)."""
    return (within - sigma2).clamp(min=0)


class Shrinkage(NamedTuple):
    """What SURE makes of K clusters: n, sigma2_k, tau2_k and b_k, each (K,), and mean (K, P)."""

    n: Tensor
    sigma2: Tensor
    tau2: Tensor
    b: Tensor
    mean: Tensor


class ClusterSums:
    """:class:`ClusterStats` of cells that come in batches, from N, sum x and sum ||x||^2 of each cluster.

    Double precision, on the CPU: SS = sum ||x||^2 - N ||xbar||^2 cancels.
    """

    def __init__(self, n_clusters: int, n_dims: int) -> None:
        self.n, self.squares = torch.zeros(2, n_clusters, dtype=torch.float64)
        self.total = torch.zeros(n_clusters, n_dims, dtype=torch.float64)

    def add(self, x: Tensor, labels: Tensor) -> None:
        """Cells x (B, P) and their clusters (B,)."""
        for some, of in zip(x.split(_ROWS), labels.cpu().split(_ROWS), strict=True):
            cells = some.cpu().double()
            self.n += torch.bincount(of, minlength=len(self.n))
            self.total.index_add_(0, of, cells)
            self.squares.index_add_(0, of, cells.square().sum(1))

    def stats(self) -> ClusterStats:
        """Return size, mean and sum of squares of each cluster so far."""
        mean = self.total / self.n.clamp(min=1)[:, None]
        return ClusterStats(
            self.n, mean, (self.squares - self.n * mean.square().sum(1)).clamp(min=0)
        )


def estimate_shrinkage(x1: Tensor, x2: Tensor, labels: Tensor, n_clusters: int) -> Shrinkage:
    """sigma2_k, tau2_k and the b_k that minimises (B), from two views (N, P) of the same cells, on the CPU.

    The first view is what is shrunk.
    """
    sums, between = (
        ClusterSums(n_clusters, x1.shape[1]),
        torch.zeros(n_clusters, dtype=torch.float64),
    )
    sums.add(x1, labels)
    between.index_add_(0, labels.cpu(), (x1 - x2).square().sum(1).cpu().double())
    stats, n_dims = sums.stats(), x1.shape[1]
    sigma2 = between / (stats.n.clamp(min=1) * n_dims * 2)
    tau2 = tau2_sure(sigma2_within(stats, n_dims), sigma2)
    return Shrinkage(
        *(
            part.float()
            for part in (stats.n, sigma2, tau2, shrinkage_weight(sigma2, tau2), stats.mean)
        )
    )


def shrink_to_clusters(h: Tensor, labels: Tensor, b: Tensor) -> Tensor:
    """Each row of h (N, P) at its posterior mean, mu_k + (1 - b_k) (h - mu_k); mu_k is the mean of h in cluster k."""
    sums, shrunk = ClusterSums(len(b), h.shape[1]), torch.empty_like(h)
    sums.add(h, labels)
    mean = sums.stats().mean.to(h)
    for start in range(0, len(h), _ROWS):  # of many cells no other copy
        rows = slice(start, start + _ROWS)
        shrunk[rows] = shrink(h[rows], mean[labels[rows]], b[labels[rows]].to(h))
    return shrunk


def loss_released(x: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """S0, the released code's term to the letter: (U) with sigma2 = SS / (P (N - 1)) and tau2 = sigma2 / N.

    With these plug-ins b [SS + N P (sigma2 / N - sigma2)] = b [SS - P (N - 1) sigma2] = 0 whatever
    the data, and the released code detaches x besides: no value, no gradient.
    """
    stats, n_dims = cluster_stats(x.detach(), labels, n_clusters), x.shape[1]
    sigma2 = sigma2_within(stats, n_dims)
    risks = risk_released(stats.ss, stats.n, sigma2, sigma2 / stats.n.clamp(min=1), n_dims)
    return risks[stats.n >= 2].sum()


def loss_centroid(x: Tensor, labels: Tensor, mu: Tensor, sigma2: Tensor, tau2: Tensor) -> Tensor:
    """S1: mean over cells of (A) toward fixed centroids mu (K, P), with fixed sigma2 (K,) and tau2 (K,).

    Only x (N, P) carries a gradient: 2 b_k^2 (x_i - mu_k) / N, a centre loss weighted by b_k^2.
    """
    mu, sigma2, tau2 = mu.detach()[labels], sigma2.detach()[labels], tau2.detach()[labels]
    distance = (x - mu).square().sum(1)
    return risk_known_mean(distance, sigma2, shrinkage_weight(sigma2, tau2), x.shape[1]).mean()


def loss_two_view(x1: Tensor, x2: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """S2: (B) with sigma2 from two views (N, P) and the b that minimises it, per cell and coordinate.

    At its minimiser the risk is sigma2 - (1 - 1/N) sigma2^2 / sigma2_within, so the term asks that
    the views agree (small sigma2) and that clusters be compact (small sigma2_within). Clusters of
    one cell contribute nothing.
    """
    n_dims = x1.shape[1]
    stats = cluster_stats(x1, labels, n_clusters)
    sigma2 = sigma2_two_views(x1, x2, labels, n_clusters)
    b = shrinkage_weight(sigma2, tau2_sure(sigma2_within(stats, n_dims), sigma2))
    risks = risk_sample_mean(stats.ss, stats.n, sigma2, b, n_dims)
    return torch.where(stats.n >= 2, risks, 0.0).sum() / (n_dims * len(x1))
