"""The LightningModule of the default method: networks that start at an anchor and stay near it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from jojoscl.clustering.kmeans import kmeans
from jojoscl.model.anchor import normalise
from jojoscl.model.losses import cluster_contrast, entropy_regulariser, nt_xent
from jojoscl.model.networks import AnchoredEncoder, Head
from jojoscl.model.shrinkage import ClusterSums, risk_sample_mean, shrinkage_weight, tau2_sure
from jojoscl.model.views import random_view
from jojoscl.training.distributed import from_first, gather
from jojoscl.training.isolation import weights_from
from jojoscl.training.module import MomentumModule

if TYPE_CHECKING:
    from jojoscl.methods.jojoscl.method import JojoSCL


class JojoSCLModule(MomentumModule):
    """Contrastive learning that starts at an anchor and stays near it.

    The query sees two views of a cell, the key one view of a neighbor. SURE shrinks the mean of the two views toward
    over-clustered centroids, which with their statistics are part of the checkpoint: they are renewed in some epochs
    only.

    Parameters
    ----------
    settings
        Those of the method.
    loadings
        (G, d), the anchor: the encoder begins as cells times loadings.
    n_cells, n_clusters
        Of the whole set.
    """

    clusters_on = "h"
    shrinks_mean = True
    labels: Tensor
    sizes: Tensor
    centroids: Tensor
    within: Tensor

    def __init__(
        self, settings: JojoSCL, loadings: Tensor, n_cells: int, n_clusters: int, *, seed: int, max_epochs: int
    ) -> None:
        super().__init__()
        self.keep(settings, n_clusters=n_clusters, seed=seed, max_epochs=max_epochs)
        self.settings, self.seed, self.max_epochs, self.momentum = settings, seed, max_epochs, settings.momentum
        n_dims = loadings.shape[1]
        with weights_from(seed):
            self.query = AnchoredEncoder(loadings, settings.hidden)
            self.key = copy.deepcopy(self.query).requires_grad_(False)
            self.instance_head = Head([n_dims, *settings.instance_dims], "unit")
            self.cluster_head = Head([n_dims, n_clusters], "softmax")
        n_centroids = max(1, min(settings.overcluster * n_clusters, n_cells // 3))
        self.register_buffer("labels", torch.zeros(n_cells, dtype=torch.long))
        self.register_buffer("sizes", torch.zeros(n_centroids))
        self.register_buffer("centroids", torch.zeros(n_centroids, n_dims))
        self.register_buffer("within", torch.zeros(()))  # variance within these clusters, per coordinate

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return h (B, d) of cells x (B, G) as they are."""
        return {"h": self.query(x)}

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the loss of B cells that come with their anchor's scores and one neighbor each."""
        x, index, scores, neighbor = batch  # (B, G), (B,), (B, d), (B, G)
        h1, h2 = self.query(torch.cat([self.view(x), self.view(x)])).chunk(2)  # (2B, G) -> (B, d) each
        with torch.no_grad():
            h_key = self.key(self.view(neighbor))  # (B, d)
        # Of several processes each has a share of the batch; the losses are those of the whole.
        h1, h2, h_key, scores, index = map(gather, (h1, h2, h_key, scores, index))
        z, z_key = self.instance_head(h1), self.instance_head(h_key)  # (B, instance_dims[-1]) on the unit sphere
        p, p_key = self.cluster_head(h1), self.cluster_head(h_key)  # (B, K), rows sum to 1
        s = self.settings
        anchor = ((h1 + h2) / 2 - scores).square().sum(1).mean()
        instance = nt_xent(z, z_key, s.temperature)
        cluster = cluster_contrast(p, p_key, s.cluster_temperature) + entropy_regulariser(p)
        sure = self.sure_loss(h1, h2, index)
        loss = anchor + s.alpha * instance + s.beta * cluster + s.lambda_ * sure
        self.views = h1.detach(), h2.detach(), index
        self.record(batch_idx, loss=loss, anchor=anchor, instance=instance, cluster=cluster, sure=sure)
        return loss

    def view(self, x: Tensor) -> Tensor:
        """Return a random view of cells x (B, G)."""
        return random_view(x, self.settings.mask_rate, self.settings.noise_sd, self.generator)

    def two_views(self, x: Tensor) -> dict[str, Tensor]:
        """Return embeddings (B, d) of two views of cells x (B, G) by the query."""
        return {"a": self.query(self.view(x)), "b": self.query(self.view(x))}

    def sure_loss(self, h1: Tensor, h2: Tensor, index: Tensor) -> Tensor:
        """Return form (B) per cell for the mean of two views (B, d).

        The noise variance of the mean is a quarter of that of the views' difference.
        """
        labels, n_dims = self.labels[index], h1.shape[1]
        n = self.sizes[labels]
        sigma2 = (h1 - h2).square().mean() / 4
        b = shrinkage_weight(sigma2, tau2_sure(self.within, sigma2)).detach()
        distance = ((h1 + h2) / 2 - self.centroids[labels]).square().sum(1)
        return (risk_sample_mean(n * distance, n, sigma2, b, n_dims) / n).mean()

    def renew_clusters(self, h: np.ndarray) -> Tensor:
        """Make spherical over-clusters of h (n_cells, d) and their statistics; return the labels (n_cells,)."""
        n_centroids, n_dims = self.centroids.shape
        found = from_first(lambda: kmeans(normalise(h, 0), n_centroids, seed=self.seed, n_init=1)[0])
        self.labels.copy_(torch.from_numpy(found))
        sums = ClusterSums(n_centroids, n_dims)
        sums.add(torch.from_numpy(h), self.labels)
        stats = sums.stats()
        self.sizes.copy_(stats.n)
        self.centroids.copy_(stats.mean)
        self.within.copy_(stats.ss.sum() / (n_dims * (len(h) - n_centroids)))
        return self.labels

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Train all but the key by AdamW, with one cycle of the learning rate."""
        s, trained = self.settings, [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=s.lr, weight_decay=s.weight_decay, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, s.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
