"""What SURE assumes, on cells and on networks that are trained: the studies of assumptions.py.

Are the coordinates of a type's cells normal? How do the temporal labels begin, and how do they
settle? What follows where one type is larger than the others?
"""

from __future__ import annotations

import warnings
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from statsmodels.stats.diagnostic import lilliefors, normal_ad
from statsmodels.stats.multitest import multipletests
from torch import Tensor

from experiments.measured import method_of
from jojoscl.cells.checks import without_labels
from jojoscl.core.kmeans import kmeans
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper import PaperJojoSCL, PaperModule
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.networks.sure import cluster_stats
from jojoscl.runner.config import build, compose
from jojoscl.utils.errors import UserError

LEVEL = 0.05  # of the tests, and of the false discoveries among their rejections
FEWEST = 20  # cells of a type that is tested
STARTS = ["kmeans", "spectral", "truth", "random"]


def typed_cells(data: str) -> tuple[AnnData, np.ndarray]:
    """Cells of a set without their labels, and the labels (n,) as numbers."""
    cells = build(compose([f"data={data}"]).data).load()
    names = cells.obs["cell_type"].astype(str)
    return without_labels(cells), np.unique(names, return_inverse=True)[1]


def quiet(epochs: int) -> Run:
    return Run(trainer=TrainerSettings(max_epochs=epochs, accelerator="cpu", progress_bar=False))


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
        for test, p_of in TESTS.items():
            about = {"test": test, "label": label, "n_cells": n}
            parts.append(pd.DataFrame({**about, "p": p_of(members)}))
    if not parts:
        raise UserError(f"No type has {FEWEST} cells: there is nothing to test.")
    table = pd.concat(parts)
    table["rejected"] = table["p"] < LEVEL
    table["discovered"] = table.groupby("test")["p"].transform(discovered).astype(bool)
    groups = table.groupby(["test", "label", "n_cells"])
    shares = {name: (name, "mean") for name in ("rejected", "discovered")}
    return groups.agg(n_tested=("p", "size"), **shares).reset_index()


def discovered(p: pd.Series) -> np.ndarray:
    """Whether each of the p-values is a discovery by Benjamini's and Hochberg's procedure."""
    return multipletests(p, LEVEL, method="fdr_bh")[0]


def kolmogorov_smirnov(x: np.ndarray) -> list[float]:
    """p-values (d,) of the columns of x (n, d), mean and variance unknown."""
    return [lilliefors(column, "norm", pvalmethod="approx")[1] for column in x.T]


def anderson_darling(x: np.ndarray) -> np.ndarray:
    """p-values (d,) of the columns of x (n, d), mean and variance unknown.

    Above a statistic of 13 they are 0: p < 1e-30, but the approximation rises above 1 there.
    """
    with np.errstate(all="ignore"):
        statistic, p = normal_ad(x, axis=0)
    return np.where(statistic <= 13, p, 0)


TESTS = {"Kolmogorov-Smirnov": kolmogorov_smirnov, "Anderson-Darling": anderson_darling}


def measure_normality(data: str, space: str, seed: int, epochs: int) -> pd.DataFrame:
    """Test preprocessed `genes`, or the embedding of a method of that name."""
    cells, types = typed_cells(data)
    if space == "genes":
        return normality(method_of("jojoscl_paper").preprocess(cells).zscores(), types)
    k, method = len(np.unique(types)), method_of(space)
    return normality(method.fit_predict(cells, k, seed=seed, run=quiet(epochs)).embedding, types)


def draw_normality(table: pd.DataFrame) -> sns.FacetGrid:
    axes = {"x": "discovered", "y": "data", "hue": "space", "col": "test"}
    looks = {"dodge": True, "jitter": False, "alpha": 0.6, "height": 3.5}
    return sns.catplot(table, kind="strip", **axes, **looks).set_axis_labels("share not normal", "")


def first_labels(x: np.ndarray, truth: np.ndarray, start: str, seed: int) -> np.ndarray:
    """Labels (n,) of cells x (n, d) by one of STARTS; "truth" is a control, not for a method."""
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
        how = {"affinity": "nearest_neighbors", "assign_labels": "cluster_qr"}
        return SpectralClustering(k, **how, random_state=seed).fit_predict(scores)


class Trajectory(L.Callback):
    """Temporal clusters that begin at the means of `start` (n,), and how they change, by epoch."""

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
        changed["ari_truth"] = adjusted_rand_score(self.truth, now)
        self.rows.append({"epoch": trainer.current_epoch, **changed})


def changes(
    before: Tensor, after: Tensor, labels_before: np.ndarray, labels_after: np.ndarray
) -> dict[str, float]:
    """`movement` of the centroids (K, d) in units of their spread, and ARI of old and new labels.

    Movement and spread are root mean squares.
    """
    spread = (after - after.mean(0)).square().sum(1).mean().sqrt().clamp(min=1e-12)
    movement = (after - before).square().sum(1).mean().sqrt() / spread
    same = adjusted_rand_score(labels_before, labels_after)
    return {"movement": float(movement), "ari_previous": same}


def measure_training(data: str, start: str, seed: int, epochs: int) -> pd.DataFrame:
    """Train method=jojoscl_paper from one of STARTS: losses and temporal clusters of each epoch."""
    cells, truth = typed_cells(data)
    method = method_of("jojoscl_paper")
    x = method.preprocess(cells).zscores()
    loader = CellDataModule(x, batch_size=method.batch_size, seed=seed)
    size = {"n_genes": x.shape[1], "n_clusters": int(truth.max()) + 1, "n_cells": len(x)}
    module = PaperModule(method, **size, seed=seed, max_epochs=epochs)
    watched = Trajectory(first_labels(x, truth, start, seed), truth)
    history = fit(module, loader, quiet(epochs), max_epochs=epochs, callbacks=[watched])
    return pd.DataFrame(watched.rows).merge(pd.DataFrame(history.rows), on="epoch")


def draw_training(table: pd.DataFrame) -> sns.FacetGrid:
    names = ["ari_truth", "ari_previous", "movement", "loss"]
    keys = ["data", "start", "seed", "epoch"]
    long = table.melt(keys, names, var_name="what", value_name="value")
    axes = {"x": "epoch", "y": "value", "hue": "start", "col": "data", "row": "what"}
    share = {"sharey": "row", "margin_titles": True}
    looks = {"errorbar": "sd", "height": 2.5, "facet_kws": share}
    facets = sns.relplot(long, kind="line", **axes, **looks)
    return facets.set_titles(col_template="{col_name}", row_template="{row_name}")


def uneven_cells(ratio: int, seed: int) -> SimulatedDataset:
    """400 cells of four types, the first `ratio` times as large as each other.

    Types of even size are easy to tell apart.
    """
    sizes = {"n_cells": 400, "n_genes": 500, "n_types": 4, "type_sizes": [ratio, 1, 1, 1]}
    return SimulatedDataset(**sizes, library_size=5000, marker_fraction=0.2, seed=seed)


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
    ari, largest = adjusted_rand_score(truth, labels), table.sum(0).max() / len(truth)
    return pd.DataFrame([{"ari": ari, "rare": rare, "largest": largest}])


def draw_uneven(table: pd.DataFrame) -> sns.FacetGrid:
    names = ["ari", "rare", "largest"]
    long = table.melt(["ratio", "sure", "seed"], names, var_name="what", value_name="value")
    axes = {"x": "ratio", "y": "value", "hue": "sure", "col": "what"}
    looks = {"errorbar": "sd", "err_style": "bars", "marker": "o", "height": 3.2}
    facets = sns.relplot(long, kind="line", **axes, **looks).set(xscale="log")
    facets.set_axis_labels("largest type over each other type", "")
    return facets.set_titles("{col_name}")
