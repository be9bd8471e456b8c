"""The LightningModule of JojoSCL: how encoders, heads, views and losses come together."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from jojoscl.clustering.kmeans import kmeans
from jojoscl.model.losses import cluster_contrast, entropy_regulariser
from jojoscl.model.networks import Encoder, Head
from jojoscl.model.shrinkage import (
    cluster_stats,
    loss_centroid,
    loss_released,
    loss_two_view,
    sigma2_two_views,
    sigma2_within,
    tau2_sure,
)
from jojoscl.model.views import random_view
from jojoscl.training.distributed import gather
from jojoscl.training.module import MomentumModule


class PaperModule(MomentumModule):
    """Shrinkage contrastive learning (Wang, BIBM 2024, section III). Takes plain settings: see `conf/preset/`.

    `labels` (n_cells,) and `centroids` (K, P) are the temporal clusters; with ``temporal_labels="epoch"`` a callback
    renews them, with "batch" each step runs K-means on its own cells.
    """

    labels: Tensor
    centroids: Tensor

    def __init__(
        self, n_genes: int, n_clusters: int, n_cells: int, *, seed: int, max_epochs: int, **hyper: Any
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.n_clusters, self.seed, self.max_epochs = n_clusters, seed, max_epochs
        self.hyper, self.momentum = hyper, hyper["momentum"]
        encoder = [n_genes, *hyper["encoder_dims"]]
        self.query = Encoder(encoder)
        self.instance_head = Head([encoder[-1], *hyper["instance_dims"]], "unit")
        self.cluster_head = Head([encoder[-1], *hyper["cluster_dims"], n_clusters], "softmax")
        self.make_queue()
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        # What SURE shrinks: h or z; the cluster head's labels shrink h.
        self.space = "z" if hyper["assign_on"] == "z" else "h"
        n_dims = hyper["instance_dims"][-1] if self.space == "z" else encoder[-1]
        self.register_buffer("centroids", torch.zeros(n_clusters, n_dims))
        self.register_buffer("labels", torch.zeros(n_cells, dtype=torch.long), persistent=False)

    # ---- representations -------------------------------------------------------------------------------------

    def heads(self, h: Tensor) -> dict[str, Tensor]:
        """h (B, P), z (B, d) on the unit sphere, and soft assignments (B, K) under the names of `assign_on`."""
        return {"h": h, "z": self.instance_head(h), "cluster_head": self.cluster_head(h)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Representations of un-augmented cells x (B, G)."""
        return self.heads(self.query(x))

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int = 0) -> dict[str, Tensor]:
        return self(batch[0])

    # ---- training --------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, index = batch
        view_a, view_b = self.view(x), self.view(x)
        a = self.heads(gather(self.query(view_a)))
        with torch.no_grad():
            b = self.heads(gather(self.key(view_b)))
        index = gather(index)  # all losses are those of the whole batch
        instance = self.instance_loss(a["z"], b["z"])
        cluster = self.cluster_loss(a["cluster_head"], b["cluster_head"])
        sure = self.sure_loss(a, b, index)
        self.views = a[self.space].detach(), b[self.space], index
        alpha, beta, lambda_ = self.hyper["alpha"], self.hyper["beta"], self.hyper["lambda_"]
        loss = alpha * instance + beta * cluster + lambda_ * sure
        self.record(batch_idx, loss=loss, instance=instance, cluster=cluster, sure=sure)
        return loss

    def view(self, x: Tensor) -> Tensor:
        return random_view(x, self.hyper["mask_rate"], self.hyper["noise_sd"], self.generator)

    def two_views(self, x: Tensor) -> dict[str, Tensor]:
        """Embeddings (B, P) of cells x (B, G) as training sees them: one view by the query, one by the key."""
        return {"a": self(self.view(x))[self.space], "b": self.heads(self.key(self.view(x)))[self.space]}

    def cluster_loss(self, p_a: Tensor, p_b: Tensor) -> Tensor:
        contrast = cluster_contrast(p_a, p_b, self.hyper["cluster_temperature"], self.hyper["cluster_similarity"])
        entropy = entropy_regulariser(p_a, self.hyper["entropy"]) + entropy_regulariser(p_b, self.hyper["entropy"])
        return contrast + entropy

    def sure_loss(self, a: dict[str, Tensor], b: dict[str, Tensor], index: Tensor) -> Tensor:
        """The `sure` form of the risk of the batch, given its temporal clusters."""
        kind, epoch_level = self.hyper["sure"], self.hyper["temporal_labels"] == "epoch"
        if kind == "none":
            return a["h"].new_zeros(())
        x1, x2 = a[self.space], b[self.space]
        labels = self.labels[index] if epoch_level else self.batch_labels(a)
        if kind == "released":
            return loss_released(x1, labels, self.n_clusters)
        if kind == "two_view":
            return loss_two_view(x1, x2, labels, self.n_clusters)
        with torch.no_grad():
            stats = cluster_stats(x1, labels, self.n_clusters)
            sigma2 = sigma2_two_views(x1, x2, labels, self.n_clusters)
            tau2 = tau2_sure(sigma2_within(stats, x1.shape[1]), sigma2)
        return loss_centroid(x1, labels, self.centroids if epoch_level else stats.mean, sigma2, tau2)

    def batch_labels(self, a: dict[str, Tensor]) -> Tensor:
        """Clusters (B,) of the cells of this batch alone."""
        x = a[self.hyper["assign_on"]].detach()
        if self.hyper["assign_on"] == "cluster_head":
            return x.argmax(1)
        if len(x) < self.n_clusters:  # too few for K clusters: each cell its own, and a cluster of one adds nothing
            return torch.arange(len(x), device=x.device)
        return torch.from_numpy(kmeans(x.cpu().numpy(), self.n_clusters, seed=self.seed, n_init=1)[0]).to(x.device)

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.hyper["lr"], fused=True)
        period = self.hyper["lr_period"] or self.max_epochs
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=period)]
