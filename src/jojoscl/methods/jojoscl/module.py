"""The LightningModule of the headline method: networks that start at an anchor and stay near it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jojoscl.clustering.kmeans import kmeans
from jojoscl.model.anchor import normalise
from jojoscl.model.losses import cluster_contrast, entropy_regulariser
from jojoscl.model.networks import AnchoredEncoder, Head
from jojoscl.model.shrinkage import ClusterSums, risk_sample_mean, shrinkage_weight, tau2_sure
from jojoscl.model.views import random_view
from jojoscl.training.distributed import from_first, gather
from jojoscl.training.module import MomentumModule
from jojoscl.utils.devices import sent


class JojoSCLModule(MomentumModule):
    """Contrastive learning that starts at an anchor and stays near it.

    `loadings` (genes, d) make the anchor, `neighbors` (n_cells, n_positives) are the cells that may stand in for
    each. The query sees two views of a cell, the key one view of a neighbor. SURE shrinks the mean of the two views
    toward over-clustered centroids, which with their statistics are part of the checkpoint: they are renewed in some
    epochs only.
    """

    shrinks_mean = True
    labels: Tensor
    sizes: Tensor
    centroids: Tensor
    within: Tensor

    def __init__(
        self, loadings: Tensor, neighbors: Tensor, n_clusters: int, *, seed: int, max_epochs: int, **hyper: Any
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["loadings", "neighbors"])
        self.seed, self.max_epochs, self.hyper, self.momentum = seed, max_epochs, hyper, hyper["momentum"]
        n_cells, n_dims = len(neighbors), loadings.shape[1]
        self.query = AnchoredEncoder(loadings, hyper["hidden"])
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.instance_head = Head([n_dims, *hyper["instance_dims"]], "unit")
        self.cluster_head = Head([n_dims, n_clusters], "softmax")
        self.make_queue()
        n_centroids = max(1, min(hyper["overcluster"] * n_clusters, n_cells // 3))
        self.neighbors = neighbors  # beside the cells, on the CPU
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
        sums = ClusterSums(n_centroids, n_dims)
        sums.add(torch.from_numpy(h), self.labels)
        stats = sums.stats()
        self.sizes.copy_(stats.n)
        self.centroids.copy_(stats.mean)
        self.within.copy_(stats.ss.sum() / (n_dims * (len(h) - n_centroids)))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        x, index, scores = batch
        h1, h2 = self.query(torch.cat([self.view(x), self.view(x)])).chunk(2)
        with torch.no_grad():
            key = self.key(self.view(self.positives(index)))
        # Losses are those of the whole batch.
        h1, h2, key, scores, index = map(gather, (h1, h2, key, scores, sent(index, self.device)))
        anchor = ((h1 + h2) / 2 - scores).square().sum(1).mean()
        instance = self.instance_loss(self.instance_head(h1), self.instance_head(key))
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
        """A random neighbor of each cell of the batch: index (B,) -> cells (B, G)."""
        choice = torch.randint(self.neighbors.shape[1], index.shape, generator=self.cpu_generator)
        chosen = self.neighbors[index, choice]
        return self.trainer.datamodule.gather(chosen, self.device)  # type: ignore[attr-defined]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        x, index, scores = batch
        return sent(x, device), index, sent(scores, device)  # back from a GPU the index would cost a wait in each step

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
        optimizer = torch.optim.AdamW(trained, lr=self.hyper["lr"], weight_decay=self.hyper["weight_decay"], fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hyper["lr"], total_steps=steps)
        return [optimizer], [{"scheduler": cycle, "interval": "step"}]
