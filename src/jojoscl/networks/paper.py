"""JojoSCL as published, as its released code runs, and without SURE (ScCCL).

Wang, "JojoSCL: Shrinkage contrastive learning", BIBM 2024, section III.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import Result
from jojoscl.core.kmeans import kmeans
from jojoscl.networks import sure
from jojoscl.networks.callbacks import OracleSelection, ShrinkageRecord
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import NetworkMethod, Training, fit
from jojoscl.networks.losses import entropy_regulariser, nt_xent
from jojoscl.networks.module import SeededModule, adam_with_cosine, gather, layers, weights_from
from jojoscl.networks.settings import Hooked
from jojoscl.networks.views import random_view
from jojoscl.utils.seeding import derived_seed
from jojoscl.utils.settings import setting

_SURE, _ENTROPY = ("none", "released", "centroid", "two_view"), ("true_axis", "released")
_WHEN, _ON = ("epoch", "batch"), ("h", "z")


@dataclass(kw_only=True)
class PaperJojoSCL(NetworkMethod):
    """Shrinkage contrastive learning as published, with a shrinkage term that acts.

    Wang, BIBM 2024.

    Examples
    --------
    >>> method = jojoscl.PaperJojoSCL(epochs=5)  # doctest: +SKIP
    >>> method.fit_predict(adata, n_clusters=8).labels  # doctest: +SKIP
    """

    name: str = setting("jojoscl_paper", "What the results call it.")
    preprocess: Preprocess = setting(Preprocess(), "From counts to what the networks see.")
    encoder_dims: list[int] = setting([512, 256, 128], "Widths of the encoder, h the last.", low=1)
    instance_dims: list[int] = setting([192, 192], "Instance head's widths, z the last.", low=1)
    cluster_dims: list[int] = setting([64], "Hidden widths of the cluster head.", low=1)
    mask_rate: float = setting(0.9, "Share of the genes that a view masks.", low=0, high=0.999)
    noise_sd: float = setting(0.1, "Standard deviation of the noise of a view.", low=0)
    momentum: float = setting(0.5, "Share of its weights that the key keeps.", low=0, high=1)
    alpha: float = setting(1.0, "Weight of the instance loss.", low=0)
    beta: float = setting(1.0, "Weight of the cluster loss.", low=0)
    lambda_: float = setting(10.0, "Weight of SURE, for each coordinate of h.", low=0)
    temperature: float = setting(0.07, "Temperature of the instance loss.", low=1e-3)
    cluster_temperature: float = setting(0.07, "Temperature of the cluster loss.", low=1e-3)
    cluster_similarity: str = setting("cosine", "Similarity of clusters.", values=("cosine", "dot"))
    entropy: str = setting("true_axis", "Entropy term; 'released' is zero.", values=_ENTROPY)
    sure: str = setting("two_view", "Form of the shrinkage term; 'released' is zero.", values=_SURE)
    temporal_labels: str = setting("epoch", "When SURE's clusters are renewed.", values=_WHEN)
    assign_on: str = setting("h", "What makes the clusters, temporal and final.", values=_ON)
    kmeans_starts: int = setting(10, "Starts of the final K-means; the best is kept.", low=1)
    epochs: int = setting(200, "Epochs of the training.", low=1)
    batch_size: int = setting(256, "Cells in a batch, of all devices together.", low=2)
    lr: float = setting(0.01, "Learning rate of Adam at the start.", low=0)
    lr_period: int | None = setting(None, "Half period of its cosine; None: all epochs.", low=1)

    takes_oracle = True

    def train(self, job: Training) -> Result:
        data = CellDataModule(job.x, batch_size=self.batch_size, seed=job.seed)
        size = {"n_genes": job.x.n_genes, "n_clusters": job.n_clusters, "n_cells": len(job.x)}
        info = {"epochs": job.run.trainer.max_epochs or self.epochs}
        module = PaperModule(self, **size, seed=job.seed, max_epochs=info["epochs"])
        record = ShrinkageRecord()
        chosen = [OracleSelection(job.oracle)] if job.oracle else []
        fit(module, data, job.run, self.epochs, job.history, callbacks=[record, *chosen])
        job.watch.lap("train")
        labels, h = module.clusters_of(data)
        result = Result(labels, h, {}, info, shrinkage=record.rows)
        if not chosen:
            return replace(result, obsm={"map": module.shrunk(data, h, labels)})
        # The network of that epoch, and so its b_k, is gone: there is no map.
        epoch, best, h = (chosen[0].best[name] for name in ("epoch", "labels", "embedding"))
        info["selected_epoch"] = epoch
        return replace(result, labels=best.numpy(), embedding=h.numpy(), last_labels=labels)


@dataclass(kw_only=True)
class ReleasedJojoSCL(
    PaperJojoSCL,
    name="jojoscl_released",
    lambda_=1.0,
    cluster_similarity="dot",
    entropy="released",
    sure="released",
    temporal_labels="batch",
    assign_on="z",
    kmeans_starts=1,  # as its KMeans does under a current scikit-learn
    lr=0.2,
    lr_period=500,
):
    """JojoSCL as its released code runs: its SURE and its entropy term are always zero."""


@dataclass(kw_only=True)
class ScCCL(
    ReleasedJojoSCL,
    name="sccl",
    encoder_dims=[200, 40, 60],
    instance_dims=[100, 100],
    cluster_dims=[40],
    lambda_=0.0,
    sure="none",
    batch_size=200,
):
    """ScCCL (Du et al., IEEE/ACM TCBB 2023): the released code without SURE, with other widths."""


class PaperModule(SeededModule):
    """The networks of JojoSCL, how its views are made, and the three terms of its loss.

    `labels` (n_cells,) and `centroids` (K, P) are the temporal clusters of the epoch; with
    ``temporal_labels="batch"`` each step clusters its own cells. SURE shrinks `clusters_on`, h or
    z: z where clusters are made on z.
    """

    settings: PaperJojoSCL
    splits_batches = True
    labels: Tensor
    centroids: Tensor
    views: tuple[Tensor, Tensor, Tensor]  # of the last batch: two embeddings (B, P), index (B,)

    def __init__(self, settings: PaperJojoSCL, *, seed: int, max_epochs: int, **size: int) -> None:
        super().__init__(settings, seed=seed, max_epochs=max_epochs, **size)
        self.max_epochs, self.n_clusters = max_epochs, size["n_clusters"]
        encoder, instance = [size["n_genes"], *settings.encoder_dims], settings.instance_dims
        h, head = encoder[-1], [*settings.cluster_dims, self.n_clusters]
        with weights_from(seed):
            self.query = layers(encoder, norm=True, last_relu=True)
            self.instance_head = layers([h, *instance], norm=False, last_relu=False)
            self.cluster_head = layers([h, *head], norm=False, last_relu=False)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.clusters_on = settings.assign_on
        self.epoch_clusters = settings.sure != "none" and settings.temporal_labels == "epoch"
        n_dims = instance[-1] if self.clusters_on == "z" else h
        self.register_buffer("centroids", torch.zeros(self.n_clusters, n_dims))
        labels = torch.zeros(size["n_cells"], dtype=torch.long)
        self.register_buffer("labels", labels, persistent=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs for cells x (B, G) without augmentation."""
        return self.heads(self.embedded(self.query, x))

    def embedded(self, encoder: torch.nn.Module, x: Tensor) -> Tensor:
        """Return h (B, P) with rows of length 1."""
        return F.normalize(encoder(x).to(x.dtype))  # float32 under autocast too

    def heads(self, h: Tensor) -> dict[str, Tensor]:
        """Return h (B, P), z (B, d) with rows of length 1, and soft assignments (B, K)."""
        z, p = self.instance_head(h).to(h.dtype), self.cluster_head(h).to(h.dtype)
        return {"h": h, "z": F.normalize(z), "cluster_head": p.softmax(1)}

    def on_train_epoch_start(self) -> None:
        """Make the temporal clusters of all cells; K-means starts from the centroids before."""
        super().on_train_epoch_start()
        if not self.epoch_clusters:
            return
        trainer = cast("Hooked", self.trainer)
        start = self.centroids.cpu().numpy() if self.centroids.any() else None
        made = self.clusters(trainer.datamodule.embed(self)[self.clusters_on], start=start)
        labels, centroids = trainer.strategy.broadcast(made)  # those of the first process
        self.labels.copy_(torch.from_numpy(labels))
        self.centroids.copy_(torch.from_numpy(centroids))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of B cells."""
        x, index = batch  # (B, G), (B,)
        (a, b), index = self.two_views(x), gather(index)
        s = self.settings
        instance = nt_xent(a["z"], b["z"], s.temperature, "dot")  # z has length 1
        cluster = self.cluster_loss(a["cluster_head"], b["cluster_head"])
        risk = self.sure_loss(a, b, index)
        loss = s.alpha * instance + s.beta * cluster + s.lambda_ * risk
        self.views = a[self.clusters_on].detach(), b[self.clusters_on], index
        self.record(loss=loss, instance=instance, cluster=cluster, sure=risk)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Let the key follow the query after each step of the optimiser (He et al., CVPR 2020)."""
        super().optimizer_step(*args, **kwargs)
        # theta_key = momentum theta_key + (1 - momentum) theta_query
        follow = get_ema_multi_avg_fn(self.settings.momentum)
        follow(list(self.key.parameters()), list(self.query.parameters()), 0)

    def view(self, x: Tensor) -> Tensor:
        """Return a random view of cells x (B, G)."""
        return random_view(x, self.settings.mask_rate, self.settings.noise_sd, self.generator)

    def two_views(self, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs for two views of cells x (B, G), by the query and by the key.

        They are those of all processes: all losses are those of the whole batch.
        """
        a = self.heads(gather(self.embedded(self.query, self.view(x))))
        with torch.no_grad():
            return a, self.heads(gather(self.embedded(self.key, self.view(x))))

    def cluster_loss(self, p_a: Tensor, p_b: Tensor) -> Tensor:
        """Return the contrast of clusters and the entropy terms of two soft assignments (B, K).

        A cluster is the vector of its B members: Li et al., "Contrastive clustering", AAAI 2021,
        equation 6. By "dot", as in the released code, its length counts, and so does B.
        """
        s = self.settings
        contrast = nt_xent(p_a.T, p_b.T, s.cluster_temperature, s.cluster_similarity)
        return contrast + entropy_regulariser(p_a, s.entropy) + entropy_regulariser(p_b, s.entropy)

    def sure_loss(self, a: dict[str, Tensor], b: dict[str, Tensor], index: Tensor) -> Tensor:
        """Return the `sure` form of the risk of the batch, given its temporal clusters."""
        s, k = self.settings, self.n_clusters
        x1, x2 = a[self.clusters_on], b[self.clusters_on]
        if s.sure == "none":
            return x1.new_zeros(())
        labels = self.labels[index] if self.epoch_clusters else self.batch_labels(a)
        if s.sure == "released":
            return sure.loss_released(x1, labels, k)
        if s.sure == "two_view":
            return sure.loss_two_view(x1, x2, labels, k)
        with torch.no_grad():
            found = sure.estimate_shrinkage(x1, x2, labels, k)
        mu = self.centroids if self.epoch_clusters else found.mean
        return sure.loss_centroid(x1, labels, mu, found.sigma2, found.tau2)

    def batch_labels(self, a: dict[str, Tensor]) -> Tensor:
        """Return clusters (B,) of the cells of this batch alone."""
        self.check_finite(a["h"])
        x = a[self.clusters_on].detach().cpu().numpy()
        return torch.from_numpy(self.clusters(x, n_init=1)[0]).to(self.device)

    def clusters_of(self, data: CellDataModule) -> tuple[np.ndarray, np.ndarray]:
        """Return clusters (n_cells,) of all cells, and the embedding (n_cells, P)."""
        x = data.embed(self)[self.clusters_on]
        return self.clusters(x, n_init=self.settings.kmeans_starts)[0], x

    def clusters(self, x: np.ndarray, **how: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return clusters (n,) and centroids (K, P) of some cells x (n, P)."""
        return kmeans(x, min(self.n_clusters, len(x)), seed=self.seed, **how)

    def shrunk(self, data: CellDataModule, h: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the embedding h (n, P), each cell shrunk toward its cluster's centroid by b_k.

        These are posterior means, given the clusters `labels` (n,). b_k is estimated from two new
        views of the cells: see :mod:`jojoscl.networks.sure`.
        """
        seed = derived_seed(self.seed, self.max_epochs)
        self.generator = torch.Generator(self.device).manual_seed(seed)

        def views(x: Tensor) -> dict[str, Tensor]:
            a, b = self.two_views(x)
            return {"a": a[self.clusters_on], "b": b[self.clusters_on]}

        a, b = (torch.from_numpy(x).double() for x in data.embed(self, views).values())
        clusters = torch.from_numpy(labels)
        found = sure.estimate_shrinkage(a, b, clusters, int(labels.max()) + 1)
        return sure.shrink_to_clusters(torch.from_numpy(h), clusters, found.b).numpy()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        s = self.settings
        return adam_with_cosine(self, s.lr, s.lr_period or self.max_epochs)
