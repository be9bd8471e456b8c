"""The headline method: networks anchored to shrunken principal components, then a consensus of linkages."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from jojoscl.anchor import Anchor, normalise, pca_anchor, principal_axes, softness
from jojoscl.assign import estimate_n_clusters, kmeans, nearest_mean, neighbours_within
from jojoscl.augment import random_view
from jojoscl.callbacks import History
from jojoscl.consensus import Consensus, consensus, micro_linkage, snn_mean
from jojoscl.data.datamodule import CellDataModule
from jojoscl.data.preprocess import Preprocess
from jojoscl.data.store import Store, centred, preprocessed
from jojoscl.distributed import from_first, gather
from jojoscl.errors import UserError
from jojoscl.losses import cluster_contrast, entropy_regulariser, nt_xent
from jojoscl.method import Result, Run, check_n_clusters, estimated
from jojoscl.module import MomentumModule
from jojoscl.networks import AnchoredEncoder, Head
from jojoscl.record import ShrinkageRecord, map_embedding
from jojoscl.seeding import at_most, derived_seed
from jojoscl.settings import Settings, between
from jojoscl.shrinkage import cluster_stats, risk_sample_mean, shrinkage_weight, tau2_sure
from jojoscl.training import fit

_NEIGHBOUR_DIMS = 30  # scores among which a cell's positives are sought
_OF_THE_MODULE = (
    *("hidden", "instance_dims", "mask_rate", "noise_sd", "momentum", "alpha", "beta", "lambda_", "temperature"),
    *("cluster_temperature", "overcluster", "renewals", "lr"),
)


class AnchoredModule(MomentumModule):
    """Contrastive learning that starts at an anchor and stays near it.

    `loadings` (genes, d) make the anchor, `neighbours` (n_cells, n_positives) are the cells that may stand in for
    each. The query sees two views of a cell, the key one view of a neighbour. SURE shrinks the mean of the two views
    toward over-clustered centroids, which with their statistics are part of the checkpoint: they are renewed in some
    epochs only.
    """

    shrinks_mean = True
    labels: Tensor
    sizes: Tensor
    centroids: Tensor
    within: Tensor

    def __init__(
        self, loadings: Tensor, neighbours: Tensor, n_clusters: int, *, seed: int, max_epochs: int, **hyper: Any
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["loadings", "neighbours"])
        self.seed, self.max_epochs, self.hyper, self.momentum = seed, max_epochs, hyper, hyper["momentum"]
        n_cells, n_dims = len(neighbours), loadings.shape[1]
        self.query = AnchoredEncoder(loadings, hyper["hidden"])
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.instance_head = Head([n_dims, *hyper["instance_dims"]], "unit")
        self.cluster_head = Head([n_dims, n_clusters], "softmax")
        n_centroids = max(1, min(hyper["overcluster"] * n_clusters, n_cells // 3))
        self.neighbours = neighbours  # beside the cells, on the CPU
        self.register_buffer("labels", torch.zeros(n_cells, dtype=torch.long))
        self.register_buffer("sizes", torch.zeros(n_centroids))
        self.register_buffer("centroids", torch.zeros(n_centroids, n_dims))
        self.register_buffer("within", torch.zeros(()))  # variance within these clusters, per coordinate

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """h (B, d) of un-augmented cells x (B, G)."""
        return {"h": self.query(x)}

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.current_epoch % max(1, self.max_epochs // self.hyper["renewals"]) == 0:
            self.renew_clusters(self.trainer.datamodule.embed(self)["h"])  # type: ignore[attr-defined]

    def renew_clusters(self, h: np.ndarray) -> None:
        """Spherical over-clusters of h (n_cells, d) and their statistics."""
        n_centroids, n_dims = self.centroids.shape
        found = from_first(lambda: kmeans(normalise(h, 0), n_centroids, seed=self.seed, n_init=1)[0])
        self.labels.copy_(torch.from_numpy(found))
        stats = cluster_stats(torch.from_numpy(h).to(self.device), self.labels, n_centroids)
        self.sizes.copy_(stats.n)
        self.centroids.copy_(stats.mean)
        self.within.copy_(stats.ss.sum() / (n_dims * (len(h) - n_centroids)))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        x, index, scores = batch
        h1, h2 = self.query(torch.cat([self.view(x), self.view(x)])).chunk(2)
        with torch.no_grad():
            key = self.key(self.view(self.positives(index)))
        # Losses are those of the whole batch.
        h1, h2, key, scores, index = map(gather, (h1, h2, key, scores, index.to(self.device)))
        anchor = ((h1 + h2) / 2 - scores).square().sum(1).mean()
        instance = nt_xent(self.instance_head(h1), self.instance_head(key), self.hyper["temperature"])
        p, p_key = self.cluster_head(h1), self.cluster_head(key)
        cluster = cluster_contrast(p, p_key, self.hyper["cluster_temperature"]) + entropy_regulariser(p)
        sure = self.sure_loss(h1, h2, index)
        self.views = h1.detach(), h2.detach(), index
        alpha, beta, lambda_ = self.hyper["alpha"], self.hyper["beta"], self.hyper["lambda_"]
        loss = anchor + alpha * instance + beta * cluster + lambda_ * sure
        self.record(batch_idx, loss=loss, anchor=anchor, instance=instance, cluster=cluster, sure=sure)
        return loss

    def view(self, x: Tensor) -> Tensor:
        return random_view(x, self.hyper["mask_rate"], self.hyper["noise_sd"], self.generator)

    def two_views(self, x: Tensor) -> dict[str, Tensor]:
        """Embeddings (B, d) of two views of cells x (B, G) by the query."""
        return {"a": self.query(self.view(x)), "b": self.query(self.view(x))}

    def positives(self, index: Tensor) -> Tensor:
        """A random neighbour of each cell of the batch: index (B,) -> cells (B, G)."""
        choice = torch.randint(self.neighbours.shape[1], index.shape, generator=self.cpu_generator)
        chosen = self.neighbours[index, choice]
        return self.trainer.datamodule.gather(chosen, self.device)  # type: ignore[attr-defined]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        x, index, scores = batch
        return x.to(device), index, scores.to(device)  # back from a GPU the index would cost a wait in each step

    def sure_loss(self, h1: Tensor, h2: Tensor, index: Tensor) -> Tensor:
        """Form (B) per cell for the mean of two views, whose noise variance is a quarter of their difference's."""
        labels, n_dims = self.labels[index], h1.shape[1]
        n = self.sizes[labels]
        sigma2 = (h1 - h2).square().mean() / 4
        b = shrinkage_weight(sigma2, tau2_sure(self.within, sigma2)).detach()
        distance = ((h1 + h2) / 2 - self.centroids[labels]).square().sum(1)
        return (risk_sample_mean(n * distance, n, sigma2, b, n_dims) / n).mean()

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.hyper["lr"], weight_decay=1e-4, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hyper["lr"], total_steps=steps)
        return [optimizer], [{"scheduler": cycle, "interval": "step"}]


class Trained(NamedTuple):
    """A trained network, its cells and their embeddings (n_cells, d), turned to their principal axes."""

    module: AnchoredModule
    data: CellDataModule
    space: np.ndarray
    history: History
    record: ShrinkageRecord


@dataclass(kw_only=True)
class AnchoredJojoSCL(Settings):
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
            raise UserError(f"smoothing is the fewest and the most neighbours, such as [10, 20], not {self.smoothing}.")

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.method.Method`)."""
        run = run or Run()
        told = None if n_clusters is None else check_n_clusters(n_clusters, adata.n_obs)
        clock = [time.perf_counter()]
        x = centred(preprocessed(self.preprocess, adata, run.cache))
        clock.append(time.perf_counter())
        anchor = pca_anchor(at_most(x, self.sample, seed=seed), self.n_dims, seed=seed)
        scores, soft = x @ self.loadings(anchor), softness(anchor.reliability, self.soft_above)
        k = told or self.estimate(scores, seed=seed)
        clock.append(time.perf_counter())
        networks = [self.embed(x, anchor, k, stage=stage, seed=seed, run=run) for stage in range(self.n_networks)]
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

    def loadings(self, anchor: Anchor) -> np.ndarray:
        """(genes, d), shrunken ones unless the settings say otherwise."""
        return anchor.shrunk_loadings if self.shrink_components else anchor.loadings

    def embed(
        self, x: np.ndarray | Store, anchor: Anchor, n_clusters: int, *, stage: int, seed: int, run: Run
    ) -> Trained:
        """One network trained on x (n_cells, G), from its own seed and checkpoint."""
        own_seed = derived_seed(seed, stage) % 2**32
        L.seed_everything(own_seed, verbose=False)
        scores = x @ self.loadings(anchor)
        scale = max(float(np.sqrt(np.square(scores).sum(1).mean())), 1e-12)  # h of mean square length 1
        data = CellDataModule(x, scores / scale, batch_size=self.batch_size, seed=own_seed)
        steps = len(data.train_dataloader())
        epochs = run.trainer.max_epochs or max(self.epochs, -(-self.min_steps // steps))
        module = self.module(self.loadings(anchor) / scale, scores, n_clusters, seed=own_seed, epochs=epochs)
        first, record = stage * epochs, ShrinkageRecord(stage * epochs)
        history = fit(
            module, data, run, max_epochs=epochs, stage=f"network{stage}", callbacks=[record], first_epoch=first
        )
        return Trained(module, data, principal_axes(data.embed(module)["h"]), history, record)

    def module(
        self, loadings: np.ndarray, scores: np.ndarray, n_clusters: int, *, seed: int, epochs: int
    ) -> AnchoredModule:
        """The LightningModule with these settings, its weights drawn by torch's global generator."""
        near = normalise(scores[:, :_NEIGHBOUR_DIMS], 0)
        most = self.sample if len(near) <= self.sample else -(-self.sample // 3)
        neighbours = neighbours_within(near, self.n_positives + 1, most, seed=seed)
        neighbours = neighbours[:, min(1, self.n_positives) :]  # a cell is its own first neighbour
        hyper = {name: getattr(self, name) for name in _OF_THE_MODULE}
        return AnchoredModule(
            torch.from_numpy(loadings), torch.from_numpy(neighbours), n_clusters, seed=seed, max_epochs=epochs, **hyper
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
