"""The headline method: networks anchored to shrunken principal components, then a consensus of linkages."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from anndata import AnnData

from jojoscl.clustering.consensus import Consensus, consensus, micro_linkage, snn_mean
from jojoscl.clustering.graph import estimate_n_clusters, neighbors_within
from jojoscl.clustering.kmeans import nearest_mean
from jojoscl.data.preprocess import Preprocess, preprocessed
from jojoscl.data.store import Store, centred
from jojoscl.methods.base import Result, check_n_clusters, estimated
from jojoscl.methods.jojoscl.module import JojoSCLModule
from jojoscl.model.anchor import Anchor, normalise, pca_anchor, principal_axes, softness
from jojoscl.training.callbacks import History
from jojoscl.training.datamodule import CellDataModule
from jojoscl.training.fit import fit
from jojoscl.training.settings import Run
from jojoscl.training.shrinkage_log import ShrinkageRecord, map_embedding
from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import at_most, derived_seed
from jojoscl.utils.settings import Settings, between

_NEIGHBOR_DIMS = 30  # scores among which a cell's positives are sought
_OF_THE_MODULE = (
    "hidden", "instance_dims", "mask_rate", "noise_sd", "momentum", "alpha", "beta", "lambda_", "queue",
    "temperature", "cluster_temperature", "overcluster", "renewals", "lr",
)  # fmt: skip


class Trained(NamedTuple):
    """A trained network, its cells and their embeddings (n_cells, d), turned to their principal axes."""

    module: JojoSCLModule
    data: CellDataModule
    space: np.ndarray
    history: History
    record: ShrinkageRecord


@dataclass(kw_only=True)
class JojoSCL(Settings):
    """Shrinkage contrastive learning with one preset for all cells; `conf/preset/default.yaml` explains the settings.

    SURE acts twice: it shrinks the principal components that anchor the networks, and the embeddings of cells toward
    their centroids. Clusters are the consensus of average linkages of the anchor and of the networks' embeddings.
    """

    name: str
    preset: str
    preprocess: Preprocess
    n_dims: int = between(1)
    shrink_components: bool
    soft_above: float = between(0)
    n_networks: int = between(0)
    hidden: int = between(1)
    instance_dims: list[int]
    mask_rate: float = between(0, 0.999)
    noise_sd: float = between(0)
    n_positives: int = between(0)
    momentum: float = between(0, 1)
    alpha: float = between(0)
    beta: float = between(0)
    lambda_: float = between(0)
    queue: int = between(0)
    temperature: float = between(1e-3)
    cluster_temperature: float = between(1e-3)
    overcluster: int = between(1)
    renewals: int = between(1)
    epochs: int = between(1)
    min_steps: int = between(0)
    batch_size: int = between(2)
    lr: float = between(0)
    anchor_partitions: int = between(1)
    network_partitions: int = between(1)
    min_dims: int = between(1)
    smoothing: list[int]
    n_micro: int = between(1)
    min_cells: int = between(1)
    landmarks: int = between(2)
    sample: int = between(2)

    takes_oracle = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.instance_dims or min(self.instance_dims) < 1:
            raise UserError("instance_dims holds the widths of layers: give one or more numbers of at least 1.")
        if len(self.smoothing) != 2 or not 1 <= self.smoothing[0] <= self.smoothing[1]:
            raise UserError(f"smoothing is the fewest and the most neighbors, such as [10, 20], not {self.smoothing}.")

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`)."""
        run = run or Run()
        told = None if n_clusters is None else check_n_clusters(n_clusters, adata.n_obs)
        clock = [time.perf_counter()]
        x = centred(preprocessed(self.preprocess, adata, run.cache))
        clock.append(time.perf_counter())
        anchor, loadings, scores = self.start(x, seed=seed)
        soft = softness(anchor.reliability, self.soft_above)
        k = told or self.estimate(scores, seed=seed)
        clock.append(time.perf_counter())
        networks = [self.embed(x, scores, loadings, k, stage=i, seed=seed, run=run) for i in range(self.n_networks)]
        spaces = [scores, *(network.space for network in networks)]
        rows = [row for network in networks for row in network.history.rows]
        clock.append(time.perf_counter())
        found = self.cluster(spaces, soft, k, seed=seed)
        clock.append(time.perf_counter())
        seconds = dict(zip(("preprocess", "anchor", "train", "assign"), np.diff(clock).tolist(), strict=True))
        seconds["train"] = sum(network.history.seconds for network in networks)  # those before a resumption too
        return Result(
            found.labels,
            spaces[-1],
            seconds,
            {"epochs": len(rows), "soft": soft} | estimated(n_clusters, k),
            rows,
            obs={"confidence": found.confidence},
            obsm={"map": map_embedding(*networks[-1][:2], spaces[-1], found.labels)} if networks else {},
            shrinkage=[row for network in networks for row in network.record.rows],
            uns={"sigma2": anchor.sigma2, "tau2": anchor.tau2, "reliability": anchor.reliability},
        )

    def start(self, x: np.ndarray | Store, *, seed: int) -> tuple[Anchor, np.ndarray, np.ndarray]:
        """The anchor of x (n_cells, G), loadings (G, d), and scores x loadings (n_cells, d) of mean square length 1."""
        anchor = pca_anchor(at_most(x, self.sample, seed=seed), self.n_dims, seed=seed)
        loadings = self.loadings(anchor)
        scores = x @ loadings
        scale = np.float32(max(np.linalg.norm(scores) / len(x) ** 0.5, 1e-12))
        return anchor, loadings / scale, np.divide(scores, scale, out=scores)

    def loadings(self, anchor: Anchor) -> np.ndarray:
        """(genes, d), shrunken ones unless the settings say otherwise."""
        return anchor.shrunk_loadings if self.shrink_components else anchor.loadings

    def embed(
        self,
        x: np.ndarray | Store,
        scores: np.ndarray,
        loadings: np.ndarray,
        n_clusters: int,
        *,
        stage: int,
        seed: int,
        run: Run,
    ) -> Trained:
        """One network trained on x (n_cells, G) from its own seed; it starts at scores = x loadings (n_cells, d)."""
        own_seed = derived_seed(seed, stage) % 2**32
        L.seed_everything(own_seed, verbose=False)
        data = CellDataModule(x, scores, batch_size=self.batch_size, seed=own_seed)
        steps = len(data.train_dataloader())
        enough = max(1, round(self.epochs * min(1.0, self.sample / len(x))))  # steps do not grow with the cells
        epochs = run.trainer.max_epochs or max(enough, -(-self.min_steps // steps))
        module = self.module(loadings, scores, n_clusters, seed=own_seed, epochs=epochs)
        first, record = stage * epochs, ShrinkageRecord(stage * epochs)
        history = fit(
            module, data, run, max_epochs=epochs, stage=f"network{stage}", callbacks=[record], first_epoch=first
        )
        return Trained(module, data, principal_axes(data.embed(module)["h"]), history, record)

    def module(
        self, loadings: np.ndarray, scores: np.ndarray, n_clusters: int, *, seed: int, epochs: int
    ) -> JojoSCLModule:
        """The LightningModule with these settings, its weights drawn by torch's global generator."""
        near = normalise(scores[:, :_NEIGHBOR_DIMS], 0)
        most = self.sample if len(near) <= self.sample else -(-self.sample // 3)
        neighbors = neighbors_within(near, self.n_positives + 1, most, seed=seed)
        neighbors = neighbors[:, min(1, self.n_positives) :]  # a cell is its own first neighbor
        hyper = {name: getattr(self, name) for name in _OF_THE_MODULE}
        return JojoSCLModule(
            torch.from_numpy(loadings), torch.from_numpy(neighbors), n_clusters, seed=seed, max_epochs=epochs, **hyper
        )

    def n_clusters_of(self, x: np.ndarray | Store, *, seed: int) -> int:
        """The estimate of K for a method without an anchor, from its preprocessed cells x (n_cells, G)."""
        some = at_most(x, self.sample, seed=seed)
        some = some - some.mean(0)
        return self.estimate(some @ self.loadings(pca_anchor(some, self.n_dims, seed=seed)), seed=seed)

    def estimate(self, scores: np.ndarray, *, seed: int) -> int:
        """K from scores (n_cells, d) of the anchor."""
        return estimate_n_clusters(at_most(scores, self.sample, seed=seed), min_cells=self.min_cells, seed=seed)

    def cluster(self, spaces: list[np.ndarray], soft: float, n_clusters: int, *, seed: int) -> Consensus:
        """The consensus of random partitions of the anchor's scores, spaces[0], and of the networks' embeddings."""
        rng = np.random.default_rng(seed)
        repeats = [self.anchor_partitions] + [self.network_partitions] * (len(spaces) - 1)
        partitions = [
            self.partition(space, soft, n_clusters, rng)
            for space, times in zip(spaces, repeats, strict=True)
            for _ in range(times)
        ]
        return consensus(partitions, n_clusters, min_cells=self.min_cells, landmarks=self.landmarks, seed=seed)

    def partition(self, space: np.ndarray, soft: float, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
        """Average linkage (n_cells,) of a random number of axes after a random amount of smoothing.

        Of many cells a sample is smoothed and linked, and each cell joins the nearest of its small clusters.
        """
        n_dims = int(rng.integers(min(self.min_dims, space.shape[1]), space.shape[1] + 1))
        n_neighbors = int(rng.integers(self.smoothing[0], self.smoothing[1] + 1))
        seed = int(rng.integers(2**20))
        points = normalise(space[:, :n_dims], soft)
        sample = at_most(points, self.sample, seed=seed)
        x = snn_mean(sample, n_neighbors)
        x = x if soft else normalise(x, 0)  # a mean of unit vectors is shorter
        micro, cluster_of = micro_linkage(x, n_clusters, self.n_micro, seed=seed)
        return cluster_of[micro if len(sample) == len(points) else nearest_mean(points, sample, micro)]
