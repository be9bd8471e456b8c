"""The LightningModule of JojoSCL: how encoders, heads, views and losses come together."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from jojoscl.core.kmeans import kmeans
from jojoscl.networks import sure
from jojoscl.networks.distributed import from_first, gather
from jojoscl.networks.isolation import weights_from
from jojoscl.networks.layers import Encoder, Head, momentum_update
from jojoscl.networks.losses import cluster_contrast, entropy_regulariser, nt_xent
from jojoscl.networks.module import SeededModule
from jojoscl.networks.paper.settings import PaperSettings
from jojoscl.networks.views import random_view


class PaperModule(SeededModule):
    """Shrinkage contrastive learning (Wang, BIBM 2024, section III).

    `labels` (n_cells,) and `centroids` (K, P) are the temporal clusters; with
    ``temporal_labels="epoch"`` a callback renews them, with "batch" each step runs K-means on its
    own cells. SURE shrinks `clusters_on`, h or z: z where clusters are made on z.
    """

    splits_batches = True
    labels: Tensor
    centroids: Tensor
    views: tuple[Tensor, Tensor, Tensor]  # of the last batch: two embeddings (B, P), index (B,)

    def __init__(
        self,
        settings: PaperSettings,
        n_genes: int,
        n_clusters: int,
        n_cells: int,
        *,
        seed: int,
        max_epochs: int,
    ) -> None:
        super().__init__()
        size = {"n_genes": n_genes, "n_clusters": n_clusters, "n_cells": n_cells}
        self.keep(settings, **size, seed=seed, max_epochs=max_epochs)
        self.settings, self.n_clusters = settings, n_clusters
        self.seed, self.max_epochs = seed, max_epochs
        encoder = [n_genes, *settings.encoder_dims]
        with weights_from(seed):
            self.query = Encoder(encoder)
            self.instance_head = Head([encoder[-1], *settings.instance_dims], "unit")
            self.cluster_head = Head([encoder[-1], *settings.cluster_dims, n_clusters], "softmax")
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.clusters_on = "z" if settings.assign_on == "z" else "h"
        n_dims = settings.instance_dims[-1] if self.clusters_on == "z" else encoder[-1]
        self.register_buffer("centroids", torch.zeros(n_clusters, n_dims))
        self.register_buffer("labels", torch.zeros(n_cells, dtype=torch.long), persistent=False)

    def heads(self, h: Tensor) -> dict[str, Tensor]:
        """Return h (B, P), z (B, d) with rows of length 1, and soft assignments (B, K)."""
        return {"h": h, "z": self.instance_head(h), "cluster_head": self.cluster_head(h)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return these for cells x (B, G) without augmentation."""
        return self.heads(self.query(x))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of B cells."""
        x, index = batch  # (B, G), (B,)
        view_a, view_b = self.view(x), self.view(x)
        a = self.heads(gather(self.query(view_a)))  # h (B, P), z (B, d) and soft assignments (B, K)
        with torch.no_grad():
            b = self.heads(gather(self.key(view_b)))
        index = gather(index)  # all losses are those of the whole batch
        s = self.settings
        instance = nt_xent(a["z"], b["z"], s.temperature, "dot")  # z has length 1
        cluster = self.cluster_loss(a["cluster_head"], b["cluster_head"])
        risk = self.sure_loss(a, b, index)
        loss = s.alpha * instance + s.beta * cluster + s.lambda_ * risk
        self.views = a[self.clusters_on].detach(), b[self.clusters_on], index
        self.record(batch_idx, loss=loss, instance=instance, cluster=cluster, sure=risk)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Let the key follow the query after each step of the optimiser."""
        super().optimizer_step(*args, **kwargs)
        momentum_update(self.key, self.query, self.settings.momentum)

    def view(self, x: Tensor) -> Tensor:
        """Return a random view of cells x (B, G)."""
        return random_view(x, self.settings.mask_rate, self.settings.noise_sd, self.generator)

    def two_views(self, x: Tensor) -> dict[str, Tensor]:
        """Return embeddings (B, P) of two views of cells x (B, G), by the query and by the key."""
        on = self.clusters_on
        return {"a": self(self.view(x))[on], "b": self.heads(self.key(self.view(x)))[on]}

    def cluster_loss(self, p_a: Tensor, p_b: Tensor) -> Tensor:
        """Return the contrast of clusters and the entropy terms of two soft assignments (B, K)."""
        s = self.settings
        contrast = cluster_contrast(p_a, p_b, s.cluster_temperature, s.cluster_similarity)
        return contrast + entropy_regulariser(p_a, s.entropy) + entropy_regulariser(p_b, s.entropy)

    def sure_loss(self, a: dict[str, Tensor], b: dict[str, Tensor], index: Tensor) -> Tensor:
        """Return the `sure` form of the risk of the batch, given its temporal clusters."""
        kind, epoch_level = self.settings.sure, self.settings.temporal_labels == "epoch"
        if kind == "none":
            return a["h"].new_zeros(())
        x1, x2 = a[self.clusters_on], b[self.clusters_on]
        labels = self.labels[index] if epoch_level else self.batch_labels(a)
        if kind == "released":
            return sure.loss_released(x1, labels, self.n_clusters)
        if kind == "two_view":
            return sure.loss_two_view(x1, x2, labels, self.n_clusters)
        with torch.no_grad():
            stats = sure.cluster_stats(x1, labels, self.n_clusters)
            sigma2 = sure.sigma2_two_views(x1, x2, labels, self.n_clusters)
            within = sure.sigma2_within(stats, x1.shape[1])
            tau2 = sure.tau2_sure(within, sigma2)
        mu = self.centroids if epoch_level else stats.mean
        return sure.loss_centroid(x1, labels, mu, sigma2, tau2)

    def batch_labels(self, a: dict[str, Tensor]) -> Tensor:
        """Return clusters (B,) of the cells of this batch alone."""
        x = a[self.settings.assign_on].detach()
        self.check_finite(x)
        if self.settings.assign_on == "cluster_head":
            return x.argmax(1)
        if len(x) < self.n_clusters:  # each cell is a cluster, which adds nothing to the loss
            return torch.arange(len(x), device=x.device)
        labels, _ = kmeans(x.cpu().numpy(), self.n_clusters, seed=self.seed, n_init=1)
        return torch.from_numpy(labels).to(x.device)

    @torch.no_grad()
    def renew_clusters(self, x: np.ndarray) -> Tensor:
        """Make and return the temporal clusters (n_cells,) of h or z of all cells, x (n_cells, P).

        K-means starts from the centroids before.
        """
        if self.settings.assign_on == "cluster_head":
            h = torch.from_numpy(x).to(self.device)
            self.labels.copy_(self.cluster_head(h).argmax(1))
            self.centroids.copy_(sure.cluster_stats(h, self.labels, self.n_clusters).mean)
            return self.labels
        start = self.centroids.cpu().numpy() if self.centroids.any() else None
        made = from_first(lambda: kmeans(x, self.n_clusters, seed=self.seed, start=start))
        self.labels.copy_(torch.from_numpy(made[0]))
        self.centroids.copy_(torch.from_numpy(made[1]))
        return self.labels

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Train all but the key by Adam, with a cosine of the learning rate."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.settings.lr, fused=True)
        period = self.settings.lr_period or self.max_epochs
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=period)]
