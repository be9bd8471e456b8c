"""scDeepCluster: ZINB autoencoder, sharpened Student-t assignment.

Tian et al., Nature Machine Intelligence 2019.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from jojoscl.networks.zinb import ZINBAutoencoder, ZINBClustering, squared_distances
from jojoscl.utils.settings import setting


def student_t_assignment(z: Tensor, centroids: Tensor) -> Tensor:
    """Return q_ik proportional to 1 / (1 + ||z_i - mu_k||^2): (n, K) for z (n, d), mu (K, d).

    Rows sum to 1.
    """
    kernel = 1 / (1 + squared_distances(z, centroids))
    return kernel / kernel.sum(1, keepdim=True)


def target_distribution(q: Tensor) -> Tensor:
    """Return p_ik proportional to q_ik^2 / sum_j q_jk, (n, K), rows sum to 1.

    It is sharper than q and does not favor large clusters.
    """
    weight = q.square() / q.sum(0)
    return weight / weight.sum(1, keepdim=True)


class ScDeepClusterModule(ZINBAutoencoder):
    """Add gamma KL(p || q); p is computed anew from all cells after each epoch."""

    settings: "ScDeepCluster"
    target: Tensor

    def cluster_loss(self, x: Tensor, z: Tensor, index: Tensor) -> Tensor:
        q = student_t_assignment(self.encode(x), self.centroids)  # (B, K); no noise in the latent
        divergence = F.kl_div(q.log(), self.target[index], reduction="none").sum(1)  # (B,)
        return self.settings.gamma * divergence.mean()

    @torch.no_grad()
    def renew_clusters(self, z: np.ndarray) -> Tensor:
        q = student_t_assignment(torch.from_numpy(z), self.centroids.cpu())
        self.target = target_distribution(q).to(self.device)
        return q.argmax(1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.clustering:
            s = self.settings
            return torch.optim.Adadelta(self.parameters(), lr=s.lr, rho=s.rho)
        lr = self.settings.pretrain_lr
        return torch.optim.Adam(self.parameters(), lr=lr, amsgrad=True, fused=True)


@dataclass(kw_only=True)
class ScDeepCluster(
    ZINBClustering,
    name="scdeepcluster",
    noise_sd=2.5,
    pretrain_patience=400,  # and a gain of 0.01; the release: 50 epochs, and any gain
):
    """scDeepCluster, as its first (Keras) release trains it: `lr` and `rho` are Adadelta's."""

    rho: float = setting(0.95, "Decay of Adadelta's running means.", low=0, high=1)

    module_class = ScDeepClusterModule
