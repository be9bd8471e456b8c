"""Do the assumptions of shrinkage by SURE hold, and what follows where they do not?

    python -m experiments assumptions normality --data yan pbmc_10x   # within annotated types, genes and encoder
    python -m experiments assumptions risk                            # estimated and true risk of simulated cells
    python -m experiments assumptions training --data yan pbmc_10x    # starts of the temporal labels, their stability
    python -m experiments assumptions sizes                           # error of tau2 by size of the cluster
    python -m experiments assumptions uneven                          # one type that is larger than the others
    python -m experiments assumptions cost                            # time of a step by cells, dimensions, clusters

Each writes experiments/results/assumptions/<study>.csv and
experiments/figures/assumptions_<study>.png. What stands in the table is not computed again. The
annotated types are looked at here; nothing that is learnt here clusters cells.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from statsmodels.stats.diagnostic import lilliefors, normal_ad
from statsmodels.stats.multitest import multipletests
from torch import Tensor

from experiments import assumptions_figures as pictures
from experiments.measured import Unit, grid_of, resumed
from experiments.text import save
from jojoscl.cells.checks import without_labels
from jojoscl.core.kmeans import kmeans
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper import PaperJojoSCL, PaperModule
from jojoscl.networks.settings import Run, TrainerSettings
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
from jojoscl.runner.config import build, compose

SETS = ["pbmc_10x", "bladder", "human_brain", "yan", "baron_mouse", "worm_neuron"]
LEVEL = 0.05  # of the tests, and of the false discoveries among their rejections
FEWEST = 20  # cells of a type that is tested
N_DIMS = 16  # principal components of the simulated cells
STARTS = ["kmeans", "spectral", "truth", "random"]


def typed_cells(data: str) -> tuple[AnnData, np.ndarray]:
    """Cells of a set without their labels, and the labels (n,) as numbers."""
    cells = build(compose([f"data={data}"]).data).load()
    return without_labels(cells), np.unique(
        cells.obs["cell_type"].astype(str), return_inverse=True
    )[1]


def method_of(name: str) -> Any:
    """Return what ``method=name`` builds."""
    return build(compose([f"method={name}"]).method)


def quiet(epochs: int) -> Run:
    return Run(trainer=TrainerSettings(max_epochs=epochs, accelerator="cpu", progress_bar=False))


# ---- (a) are the coordinates of a type's cells normal? -------------------------------------------


def normality(x: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Tests of each coordinate of x (n, d) within each label, mean and variance unknown.

    Kolmogorov-Smirnov with Lilliefors' distribution, and Anderson-Darling. Coordinates that do not
    vary within a label are not tested.

    Returns
    -------
    A row a test and label: `n_cells`, `n_tested` coordinates, the share `rejected` each at level 5
    %, and `discovered` with 5 % false discoveries among all labels and coordinates
    (Benjamini-Hochberg).
    """
    parts = []
    for label, n in zip(*np.unique(labels, return_counts=True), strict=True):
        members = x[labels == label].astype(np.float64)
        members = members[:, members.std(0) > 1e-6]
        if n < FEWEST or members.shape[1] == 0:
            continue
        tests = {
            "Kolmogorov-Smirnov": [
                lilliefors(column, "norm", pvalmethod="approx")[1] for column in members.T
            ],
            "Anderson-Darling": anderson_darling(members),
        }
        parts += [
            pd.DataFrame({"test": name, "label": label, "n_cells": n, "p": p})
            for name, p in tests.items()
        ]
    if not parts:
        raise SystemExit(f"No type has {FEWEST} cells: there is nothing to test.")
    table = pd.concat(parts)
    found = table.groupby("test")["p"].transform(
        lambda p: multipletests(p, LEVEL, method="fdr_bh")[0]
    )
    table = table.assign(rejected=table["p"] < LEVEL, discovered=found.astype(bool))
    groups = table.groupby(["test", "label", "n_cells"])
    return groups.agg(
        n_tested=("p", "size"), rejected=("rejected", "mean"), discovered=("discovered", "mean")
    ).reset_index()


def anderson_darling(x: np.ndarray) -> np.ndarray:
    """p-values (d,) of the columns of x (n, d), mean and variance unknown."""
    with np.errstate(all="ignore"):
        statistic, p = normal_ad(x, axis=0)
    return np.where(
        statistic <= 13, p, 0
    )  # beyond, p < 1e-30, but the approximation turns and rises above 1


def measure_normality(data: str, space: str, seed: int, epochs: int) -> pd.DataFrame:
    """Test preprocessed `genes`, or the embedding of a method of that name."""
    cells, types = typed_cells(data)
    if space == "genes":
        return normality(method_of("jojoscl_paper").preprocess(cells).zscores(), types)
    result = method_of(space).fit_predict(
        cells, len(np.unique(types)), seed=seed, run=quiet(epochs)
    )
    return normality(result.embedding, types)


# ---- (b) is the estimated risk the true one where counts are zero-inflated? ----------------------


def draws(dropout: float, seed: int, n_draws: int = 42) -> tuple[np.ndarray, np.ndarray]:
    """The same 400 cells sequenced `n_draws` times: principal scores (n_draws, n, d) of log counts, and types (n,).

    The components are those of one more draw: of a view's own, they would follow its noise.
    """
    data = SimulatedDataset(n_cells=400, n_genes=500, dropout=dropout, seed=seed)
    cells = data.load()
    types, library = (
        cells.obs["cell_type"].cat.codes.to_numpy(),
        cells.obs["library_size"].to_numpy(),
    )

    def logarithms(draw: int) -> np.ndarray:
        rng = np.random.default_rng((seed, draw))
        counts = (
            data.draw(rng, types, library, cells.uns["simulated"]["profiles"])
            .toarray()
            .astype(np.float64)
        )
        totals = counts.sum(1, keepdims=True)
        return np.log1p(counts / totals * np.median(totals))

    pca = PCA(N_DIMS, random_state=seed).fit(logarithms(n_draws))
    return np.stack([pca.transform(logarithms(i)) for i in range(n_draws)]), types.astype(np.int64)


def risks(x1: Tensor, x2: Tensor, theta: Tensor, labels: Tensor) -> dict[str, float]:
    """Risk per coordinate of shrinking x1 (n, d) toward the means of `labels`, its noise estimated from the second view x2.

    `estimated` is SURE, form (B); `true` is the squared distance to theta (n, d); `unshrunk` that
    of x1 itself; `released` the estimate of the released code.
    """
    k, n_dims = int(labels.max()) + 1, x1.shape[1]
    stats, sigma2 = cluster_stats(x1, labels, k), sigma2_two_views(x1, x2, labels, k)
    b = shrinkage_weight(sigma2, tau2_sure(sigma2_within(stats, n_dims), sigma2))
    shrunk = shrink(x1, stats.mean[labels], b[labels])
    return {
        "estimated": float(
            risk_sample_mean(stats.ss, stats.n, sigma2, b, n_dims).sum() / x1.numel()
        ),
        "true": float((shrunk - theta).square().mean()),
        "unshrunk": float((x1 - theta).square().mean()),
        "released": float(loss_released(x1, labels, k) / x1.numel()),
    }


def measure_risk(dropout: float, seed: int) -> pd.DataFrame:
    """Risks within the true types, and within `pairs` of types, whose cells do spread around their mean.

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


# ---- (c, d) how the temporal labels begin, and how they and their centroids settle ---------------


def first_labels(x: np.ndarray, truth: np.ndarray, start: str, seed: int) -> np.ndarray:
    """Labels (n,) of cells x (n, d) by one of STARTS; "truth" is a control that no method may have."""
    k = int(truth.max()) + 1
    scores = PCA(min(32, *x.shape), random_state=seed).fit_transform(x)
    if start == "truth":
        return truth
    if start == "random":
        return np.random.default_rng(seed).permutation(np.arange(len(x)) % k)
    if start == "kmeans":
        return kmeans(scores, k, seed=seed)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a neighbor graph in parts
        spectral = SpectralClustering(
            k, affinity="nearest_neighbors", assign_labels="cluster_qr", random_state=seed
        )
        return spectral.fit_predict(scores)


class Trajectory(L.Callback):
    """Temporal clusters that begin at the means of `start` (n,), and what became of them, a row an epoch."""

    def __init__(self, start: np.ndarray, truth: np.ndarray) -> None:
        self.start, self.truth = torch.from_numpy(start), truth
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 0:
            h = torch.from_numpy(trainer.datamodule.embed(module)[module.clusters_on])
            module.centroids.copy_(cluster_stats(h, self.start, module.n_clusters).mean)
        labels = module.labels.clone() if trainer.current_epoch else self.start
        self.before = module.centroids.clone(), labels.numpy()

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx > 0:  # the module renews its clusters as the epoch begins
            return
        (centroids, labels), now = self.before, module.labels.numpy()
        changed = changes(centroids, module.centroids, labels, now)
        self.rows.append({"epoch": trainer.current_epoch, **changed})
        self.rows[-1]["ari_truth"] = adjusted_rand_score(self.truth, module.labels.numpy())


def changes(
    before: Tensor, after: Tensor, labels_before: np.ndarray, labels_after: np.ndarray
) -> dict[str, float]:
    """`movement` of the centroids (K, d) relative to their spread, root mean squares; ARI of old and new labels."""
    spread = (after - after.mean(0)).square().sum(1).mean().sqrt().clamp(min=1e-12)
    movement = (after - before).square().sum(1).mean().sqrt() / spread
    return {
        "movement": float(movement),
        "ari_previous": adjusted_rand_score(labels_before, labels_after),
    }


def measure_training(data: str, start: str, seed: int, epochs: int) -> pd.DataFrame:
    """Train method=jojoscl_paper from one of STARTS: losses and the temporal clusters at each epoch's start."""
    cells, truth = typed_cells(data)
    method = method_of("jojoscl_paper")
    x = method.preprocess(cells).zscores()
    loader = CellDataModule(x, batch_size=method.batch_size, seed=seed)
    size = {"n_genes": x.shape[1], "n_clusters": int(truth.max()) + 1, "n_cells": len(x)}
    module = PaperModule(method, **size, seed=seed, max_epochs=epochs)
    watched = Trajectory(first_labels(x, truth, start, seed), truth)
    history = fit(module, loader, quiet(epochs), max_epochs=epochs, callbacks=[watched])
    return pd.DataFrame(watched.rows).merge(pd.DataFrame(history.rows), on="epoch")


# ---- (e) how well a cluster's prior variance is known, by its size -------------------------------


def tau2_errors(
    sizes: list[int], seed: int, *, n_dims: int = 32, n_draws: int = 200
) -> pd.DataFrame:
    """Root mean square error and bias of tau2 of clusters of these sizes, drawn together, sigma2 = 0.3 and tau2 = 1.2.

    `expected` is (sigma2 + tau2) sqrt(2 / (d (N - 1))), the standard deviation of the variance
    within a cluster.
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
    return pd.DataFrame(
        {
            "n_cells": n,
            "rmse": errors.square().mean(0).sqrt(),
            "bias": errors.mean(0),
            "expected": expected,
        }
    )


def measure_sizes(n_dims: int, seed: int) -> pd.DataFrame:
    return tau2_errors([3, 5, 10, 20, 50, 100, 200, 500, 1000], seed, n_dims=n_dims)


# ---- (f) one type that is larger than the others -------------------------------------------------


def uneven_cells(ratio: int, seed: int) -> SimulatedDataset:
    """400 cells of four types, the first `ratio` times as many as each other; even ones are easy to tell apart."""
    return SimulatedDataset(n_cells=400, n_genes=500, n_types=4, type_sizes=[ratio, 1, 1, 1], library_size=5000,
                            marker_fraction=0.2, seed=seed)  # fmt: skip


def measure_uneven(ratio: int, sure: str, seed: int, epochs: int) -> pd.DataFrame:
    """Cluster uneven cells by the paper's method.

    `rare` is the share of the cells of the three smaller types that are in the cluster matched to
    their type, and `largest` the share of all cells that the largest cluster has.
    """
    cells = uneven_cells(ratio, seed).load()
    truth = cells.obs["cell_type"].cat.codes.to_numpy()
    method = PaperJojoSCL(sure=sure)
    labels = method.fit_predict(without_labels(cells), 4, seed=seed, run=quiet(epochs)).labels
    table = contingency_matrix(truth, labels)
    types, clusters = linear_sum_assignment(-table)
    rare = table[types, clusters][types > 0].sum() / table[1:].sum()
    scores = {
        "ari": adjusted_rand_score(truth, labels),
        "rare": rare,
        "largest": table.sum(0).max() / len(truth),
    }
    return pd.DataFrame([scores])


# ---- (g) what a step costs -----------------------------------------------------------------------

COSTS = {"n_cells": [2**i for i in range(10, 18)], "n_dims": [2**i for i in range(4, 12)],
         "n_clusters": [2**i for i in range(2, 12)]}  # fmt: skip
MIDDLE = {"n_cells": 8192, "n_dims": 128, "n_clusters": 16}


def terms(n_cells: int, n_dims: int, n_clusters: int) -> dict[str, Callable[[], Any]]:
    """What is timed: value and gradient of both forms of SURE, and one round of the temporal labels' K-means."""
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
    """Processor seconds of each term along an axis of COSTS, the others in the middle; the least of `repeats`."""
    timed = [(size, terms(**MIDDLE | {axis: size})) for size in COSTS[axis]]
    least: dict[tuple[str, int], float] = {}
    for _ in range(repeats):
        for size, functions in timed:
            for name, function in functions.items():
                started = time.process_time()
                function()
                least[name, size] = min(
                    least.get((name, size), np.inf), time.process_time() - started
                )
    return pd.DataFrame(
        [
            {"term": name, "size": size, "seconds": seconds}
            for (name, size), seconds in least.items()
        ]
    )


# ---- tables and figures --------------------------------------------------------------------------


def units(study: str, data: list[str], seeds: list[int], epochs: int) -> list[Unit]:
    """What the rows of a study are computed from, one call each."""
    return {
        "normality": grid_of(data=data, space=["genes"], seed=[0], epochs=[0])
        + grid_of(data=data, space=["jojoscl_paper", "jojoscl"], seed=seeds, epochs=[epochs]),
        "risk": grid_of(dropout=[round(0.1 * i, 1) for i in range(10)], seed=seeds),
        "training": grid_of(data=data, start=STARTS, seed=seeds, epochs=[epochs]),
        "sizes": grid_of(n_dims=[8, 32, 128], seed=seeds),
        "uneven": grid_of(
            ratio=[1, 3, 10, 30], sure=["none", "two_view", "centroid"], seed=seeds, epochs=[epochs]
        ),
        "cost": grid_of(axis=COSTS, repeats=[15]),
    }[study]


STUDIES: dict[str, tuple[Callable[..., pd.DataFrame], Callable[[pd.DataFrame], Any]]] = {
    "normality": (measure_normality, pictures.normality),
    "risk": (measure_risk, pictures.risk),
    "training": (measure_training, pictures.training),
    "sizes": (measure_sizes, pictures.sizes),
    "uneven": (measure_uneven, pictures.uneven),
    "cost": (measure_cost, pictures.cost),
}


OPTIONS = {
    "study": {"choices": STUDIES},
    "--data": {"nargs": "+", "default": SETS, "help": "names as in conf/data"},
    "--seeds": {"nargs": "+", "type": int, "default": [0, 1, 2]},
    "--epochs": {"type": int, "default": 50},
    "--drawn-only": {"action": "store_true", "help": "measure nothing: draw the table as it is"},
}


def make(
    results: Path,
    figures: Path,
    study: str,
    data: list[str],
    seeds: list[int],
    epochs: int,
    drawn_only: bool = False,
) -> None:
    """Measure what the table of a study lacks, and draw it."""
    measure, draw = STUDIES[study]
    missing = [] if drawn_only else units(study, data, seeds, epochs)
    table = resumed(results / "assumptions" / f"{study}.csv", missing, measure)
    save(draw(table), figures / f"assumptions_{study}.png", dpi=120)
