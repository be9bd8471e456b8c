"""What SURE assumes, on cells whose truth is known: the studies of assumptions.py.

Is the estimated risk the true one where counts are zero-inflated? How well is a cluster's prior
variance known, by its size? What does a step cost?
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor

from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.networks.sure import (
    cluster_stats,
    loss_centroid,
    loss_released,
    loss_two_view,
    risk_sample_mean,
    shrink,
    shrinkage_weight,
    sigma2_two_views,
    sigma2_within,
    tau2_sure,
)

N_DIMS = 16  # principal components of the simulated cells
SIZES = [3, 5, 10, 20, 50, 100, 200, 500, 1000]
COSTS = {"n_cells": [2**i for i in range(10, 18)], "n_dims": [2**i for i in range(4, 12)],
         "n_clusters": [2**i for i in range(2, 12)]}  # fmt: skip
MIDDLE = {"n_cells": 8192, "n_dims": 128, "n_clusters": 16}


def draws(dropout: float, seed: int, n_draws: int = 42) -> tuple[np.ndarray, np.ndarray]:
    """The same 400 cells sequenced `n_draws` times: scores (n_draws, n, d), and types (n,).

    Scores are of principal components of log counts. The components are those of one more draw: of
    a view's own, they would follow its noise.
    """
    data = SimulatedDataset(n_cells=400, n_genes=500, dropout=dropout, seed=seed)
    cells = data.load()
    types, library = cells.obs["cell_type"].cat.codes.to_numpy(), cells.obs["library_size"]
    profiles = cells.uns["simulated"]["profiles"]

    def logarithms(draw: int) -> np.ndarray:
        rng = np.random.default_rng((seed, draw))
        counts = data.draw(rng, types, library.to_numpy(), profiles).toarray().astype(np.float64)
        totals = counts.sum(1, keepdims=True)
        return np.log1p(counts / totals * np.median(totals))

    pca = PCA(N_DIMS, random_state=seed).fit(logarithms(n_draws))
    return np.stack([pca.transform(logarithms(i)) for i in range(n_draws)]), types.astype(np.int64)


def risks(x1: Tensor, x2: Tensor, theta: Tensor, labels: Tensor) -> dict[str, float]:
    """Risk per coordinate of shrinking x1 (n, d) toward the means of `labels`.

    Its noise is estimated from the second view x2. `estimated` is SURE, form (B); `true` is the
    squared distance to theta (n, d); `unshrunk` that of x1 itself; `released` the estimate of the
    released code.
    """
    k, n_dims = int(labels.max()) + 1, x1.shape[1]
    stats, sigma2 = cluster_stats(x1, labels, k), sigma2_two_views(x1, x2, labels, k)
    b = shrinkage_weight(sigma2, tau2_sure(sigma2_within(stats, n_dims), sigma2))
    shrunk = shrink(x1, stats.mean[labels], b[labels])
    estimated = risk_sample_mean(stats.ss, stats.n, sigma2, b, n_dims).sum()
    return {
        "estimated": float(estimated / x1.numel()),
        "true": float((shrunk - theta).square().mean()),
        "unshrunk": float((x1 - theta).square().mean()),
        "released": float(loss_released(x1, labels, k) / x1.numel()),
    }


def measure_risk(dropout: float, seed: int) -> pd.DataFrame:
    """Risks within the true types, and within `pairs` of types, which do spread around their mean.

    Two draws are the views. The mean of the others stands for theta; what it misses is subtracted.
    """
    scores, types = draws(dropout, seed)
    x1, x2, others = torch.from_numpy(scores[0]), torch.from_numpy(scores[1]), scores[2:]
    theta, missed = torch.from_numpy(others.mean(0)), others.var(0, ddof=1).mean() / len(others)
    rows = []
    for name, labels in {"types": types, "pairs": types // 2}.items():
        found = risks(x1, x2, theta, torch.from_numpy(labels))
        found["true"], found["unshrunk"] = found["true"] - missed, found["unshrunk"] - missed
        rows.append({"clusters": name, **found})
    return pd.DataFrame(rows)


def draw_risk(table: pd.DataFrame) -> sns.FacetGrid:
    names, keys = ["estimated", "true", "unshrunk", "released"], ["dropout", "seed", "clusters"]
    long = table.melt(keys, names, var_name="risk", value_name="per coordinate")
    axes = {"x": "dropout", "y": "per coordinate", "hue": "risk", "style": "risk"}
    return sns.relplot(long, kind="line", **axes, col="clusters", errorbar="sd", height=3.5)


def tau2_errors(
    sizes: list[int], seed: int, *, n_dims: int = 32, n_draws: int = 200
) -> pd.DataFrame:
    """Root mean square error and bias of tau2 of clusters of these sizes, drawn together.

    sigma2 is 0.3 and tau2 1.2. `expected` is (sigma2 + tau2) sqrt(2 / (d (N - 1))), the standard
    deviation of the variance within a cluster.
    """
    sigma2, tau2 = 0.3, 1.2
    g = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    errors = torch.zeros(n_draws, len(sizes), dtype=torch.float64)
    for i in range(n_draws):
        theta, e1, e2 = torch.randn(3, len(labels), n_dims, generator=g, dtype=torch.float64)
        x1, x2 = (tau2**0.5 * theta + sigma2**0.5 * e for e in (e1, e2))
        within = sigma2_within(cluster_stats(x1, labels, len(sizes)), n_dims)
        errors[i] = tau2_sure(within, sigma2_two_views(x1, x2, labels, len(sizes))) - tau2
    n = np.array(sizes)
    expected = (sigma2 + tau2) * np.sqrt(2 / (n_dims * (n - 1)))
    found = {"rmse": errors.square().mean(0).sqrt(), "bias": errors.mean(0)}
    return pd.DataFrame({"n_cells": n, **found, "expected": expected})


def measure_sizes(n_dims: int, seed: int) -> pd.DataFrame:
    return tau2_errors(SIZES, seed, n_dims=n_dims)


def draw_sizes(table: pd.DataFrame) -> sns.FacetGrid:
    keys, names = ["n_dims", "seed", "n_cells"], ["rmse", "expected"]
    long = table.melt(keys, names, var_name="error", value_name="of tau2")
    axes = {"x": "n_cells", "y": "of tau2", "hue": "n_dims", "style": "error"}
    looks = {"errorbar": None, "palette": "viridis", "height": 3.5}
    return sns.relplot(long, kind="line", **axes, **looks).set(xscale="log", yscale="log")


def terms(n_cells: int, n_dims: int, n_clusters: int) -> dict[str, Callable[[], Any]]:
    """What is timed: value and gradient of both forms of SURE, and one round of K-means."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n_cells) % n_clusters
    x1, x2 = torch.randn(2, n_cells, n_dims, generator=g).requires_grad_()
    mu = cluster_stats(x1.detach(), labels, n_clusters).mean
    ones = torch.ones(n_clusters)
    points, start = x1.detach().numpy(), mu.numpy()

    def gradient(loss: Callable[[], Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(loss(), x1)

    return {
        "two_view": gradient(lambda: loss_two_view(x1, x2, labels, n_clusters)),
        "centroid": gradient(lambda: loss_centroid(x1, labels, mu, ones, ones)),
        "K-means": lambda: KMeans(n_clusters, init=start, n_init=1, max_iter=1, tol=0).fit(points),
    }


def measure_cost(axis: str, repeats: int) -> pd.DataFrame:
    """Processor seconds of each term along an axis of COSTS, the least of `repeats`.

    The other two sizes are in the middle.
    """
    rows = []
    for size in COSTS[axis]:
        for name, function in terms(**MIDDLE | {axis: size}).items():
            seconds = timeit.repeat(function, timer=time.process_time, repeat=repeats, number=1)
            rows.append((name, size, min(seconds)))
    return pd.DataFrame(rows, columns=["term", "size", "seconds"])


def slopes(table: pd.DataFrame) -> pd.Series:
    """Exponent of each term along each axis, by least squares on the larger half of the sizes."""

    def slope(rows: pd.DataFrame) -> float:
        return np.polyfit(*np.log(rows.to_numpy()).T, 1)[0]

    upper = table[table["size"] >= table.groupby("axis")["size"].transform("median")]
    return upper.groupby(["axis", "term"])[["size", "seconds"]].apply(slope)


def draw_cost(table: pd.DataFrame) -> sns.FacetGrid:
    axes = {"x": "size", "y": "seconds", "hue": "term", "col": "axis", "marker": "o"}
    facets = sns.relplot(table, kind="line", **axes, height=3.2, facet_kws={"sharex": False})
    facets.set(xscale="log", yscale="log")
    for axis, panel in facets.axes_dict.items():
        words = [f"{term}: {slope:.2f}" for term, slope in slopes(table)[axis].items()]
        place = {"transform": panel.transAxes, "va": "top", "fontsize": 8}
        panel.text(0.04, 0.96, "\n".join(["exponent", *words]), **place)
    return facets.set_titles("{col_name}").set_axis_labels("", "seconds")
