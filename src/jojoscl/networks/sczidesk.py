"""scziDesk: ZINB autoencoder, soft K-means, self-training on affinities.

Chen et al., NAR Genomics and Bioinformatics 2020.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from jojoscl.cells.preprocess import Preprocess
from jojoscl.networks.zinb import ZINBAutoencoder, ZINBClustering, squared_distances
from jojoscl.utils.settings import setting


def soft_kmeans(z: Tensor, centroids: Tensor) -> Tensor:
    """Return mean_i sum_k w_ik ||z_i - c_k||^2 for z (B, d), centroids (K, d).

    w is the square of softmax_k(-||z_i - c_k||^2), rows scaled to sum 1: the softmax of
    -2 ||z_i - c_k||^2.
    """
    distances = squared_distances(z, centroids)
    return (distances * torch.softmax(-2 * distances, dim=1)).sum(1).mean()


def affinity_divergence(z: Tensor) -> Tensor:
    """Return sum_ij q_ij log(q_ij / p_ij) over pairs of different cells of the batch z (B, d).

    p_ij is proportional to 1 / (1 + ||z_i - z_j||^2), q_ij to p_ij^2; rows sum to 1. Both carry a
    gradient, as in the released code.
    """
    n = len(z)
    others = ~torch.eye(n, dtype=torch.bool, device=z.device)
    kernel = -torch.log1p(squared_distances(z, z)[others].view(n, n - 1))
    log_p, log_q = torch.log_softmax(kernel, dim=1), torch.log_softmax(2 * kernel, dim=1)
    return F.kl_div(log_p, log_q, reduction="sum", log_target=True)


class ScziDeskModule(ZINBAutoencoder):
    """Add alpha * soft K-means + gamma * affinity divergence, both of the latent under noise."""

    settings: "ScziDesk"

    def cluster_loss(self, x: Tensor, z: Tensor, index: Tensor) -> Tensor:
        weights = self.settings.alpha, self.settings.gamma
        return weights[0] * soft_kmeans(z, self.centroids) + weights[1] * affinity_divergence(z)

    @torch.no_grad()
    def renew_clusters(self, z: np.ndarray) -> Tensor:
        return squared_distances(torch.from_numpy(z), self.centroids.cpu()).argmin(1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        lr = self.settings.lr if self.clustering else self.settings.pretrain_lr
        return torch.optim.Adam(self.parameters(), lr=lr, fused=True)


@dataclass(kw_only=True)
class ScziDesk(
    ZINBClustering,
    name="sczidesk",
    preprocess=Preprocess(n_top_genes=500),
    noise_sd=0.0,  # the release sets 1.5 but never switches its noise layers on
    ridge=1.0,
    pretrain_epochs=1000,
    pretrain_patience=None,  # stopping early would cost a third of the ARI
    pretrain_lr=0.0001,
    kmeans_starts=10,
    lr=0.0001,
    gamma=0.001,
    epochs=1800,  # of the release's 2,000, every tenth only checks the labels
    check_every=9,
):
    """scziDesk, as its release trains it: `lr` is Adam's."""

    alpha: float = setting(0.001, "Weight of soft K-means.", low=0)

    module_class = ScziDeskModule
