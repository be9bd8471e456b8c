"""The autoencoder of scDeepCluster and scziDesk, and how both are trained.

Its output is a zero-inflated negative binomial (ZINB) distribution of the counts.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import Result
from jojoscl.core.kmeans import kmeans
from jojoscl.networks.callbacks import Plateau, SettledLabels
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import NetworkMethod, Training, fit
from jojoscl.networks.module import SeededModule, layers, weights_from
from jojoscl.networks.views import random_view
from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import derived_seed
from jojoscl.utils.settings import setting


def zinb_nll(
    counts: Tensor, mu: Tensor, theta: Tensor, pi_logit: Tensor, ridge: float = 0.0
) -> Tensor:
    """Return the mean negative log-likelihood of a ZINB distribution, plus ridge * mean(pi^2).

    For counts x, with pi = sigmoid(pi_logit) and a variance of mu + mu^2 / theta (Eraslan et al.,
    Nature Communications 2019)::

        P(x) = pi [x = 0] + (1 - pi) NB(x; mu, theta)

    All is computed on logarithms: no value is clamped. Most counts are 0 and need no gamma
    function, which makes this fast.

    Parameters
    ----------
    counts, mu, theta, pi_logit
        (B, G) each: whole counts, mean, dispersion, logit of the share of excess zeros.
    ridge
        Weight of pi^2.
    """
    log_nb0 = -theta * torch.log1p(mu / theta)  # log NB(0)
    # log P(0) = log pi + log(1 + NB(0) (1 - pi) / pi), where log((1 - pi) / pi) = -pi_logit
    zeros = F.softplus(-pi_logit) - F.softplus(log_nb0 - pi_logit)
    where = counts.flatten().nonzero().squeeze(1)
    parts = counts, mu, theta, pi_logit, log_nb0
    x, m, t, logit, nb0 = (part.flatten().gather(0, where) for part in parts)
    others = F.softplus(logit) - nb0 - x * torch.log(m / (m + t)) - _log_binomial(x, t)
    total = torch.where(counts > 0, 0.0, zeros).sum() + others.sum()
    if ridge:
        total = total + ridge * torch.sigmoid(pi_logit).square().sum()
    return total / counts.numel()


def _log_binomial(x: Tensor, theta: Tensor) -> Tensor:
    """Return the log of Gamma(x + theta) / (Gamma(theta) x!)."""
    # Log-gammas of a large theta cancel in float32. Apple's GPUs have no float64.
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    x64, t64 = x.to(wide), theta.to(wide)
    return (torch.lgamma(x64 + t64) - torch.lgamma(t64) - torch.lgamma(x64 + 1)).to(theta.dtype)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return ||a_i - b_j||^2, (n, m), of a (n, d) and b (m, d)."""
    return (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)


class ZINBAutoencoder(SeededModule, ABC):
    """A denoising autoencoder of counts, trained first alone and then together with clusters.

    Gaussian noise enters at the input and before each ReLU of the encoder; the latent z is linear.
    A subclass gives the loss of the clusters and makes labels.
    """

    settings: "ZINBClustering"

    def __init__(
        self, settings: "ZINBClustering", *, n_genes: int, n_clusters: int, seed: int
    ) -> None:
        super().__init__(settings, seed=seed, n_genes=n_genes, n_clusters=n_clusters)
        dims = [n_genes, *settings.encoder_dims]
        with weights_from(seed):
            self.encoder = layers(dims, norm=False, last_relu=False).apply(_keras)
            self.decoder = layers(dims[:0:-1], norm=False, last_relu=True).apply(_keras)
            heads = [nn.Linear(dims[1], n_genes).apply(_keras) for _ in range(3)]
        self.mu, self.theta, self.pi_logit = heads
        self.centroids = nn.Parameter(torch.zeros(n_clusters, dims[-1]))
        self.clustering = False

    def encode(self, x: Tensor, noise_sd: float = 0.0) -> Tensor:
        """Return the latent z (B, d) of cells x (B, G)."""
        h = self._noisy(x, noise_sd)
        for layer in self.encoder:
            h = layer(self._noisy(h, noise_sd) if isinstance(layer, nn.ReLU) else h)
        return h

    def decode(self, z: Tensor, size_factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, theta and the logit of pi, each (B, G), for z (B, d) and size factors (B,)."""
        h = self.decoder(z)
        mu = self.mu(h).clamp(math.log(1e-5), math.log(1e6)).exp() * size_factors[:, None]
        theta = F.softplus(self.theta(h)).clamp(1e-4, 1e4)
        return mu, theta, self.pi_logit(h)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"z": self.encode(x)}

    def _noisy(self, h: Tensor, noise_sd: float) -> Tensor:
        return random_view(h, 0.0, noise_sd, self.generator) if noise_sd else h

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        x, index, counts, size_factors = batch  # (B, G), (B,), (B, G), (B,)
        z = self.encode(x, self.settings.noise_sd)
        zinb = zinb_nll(counts, *self.decode(z, size_factors), self.settings.ridge)
        if not self.clustering:
            self.record(loss=zinb)
            return zinb
        cluster = self.cluster_loss(x, z, index)
        self.record(loss=zinb + cluster, zinb=zinb, cluster=cluster)
        return zinb + cluster

    def start_clustering(self, centroids: np.ndarray) -> None:
        """Add :meth:`cluster_loss` from now on, with centroids (K, d) to start from."""
        self.clustering = True
        self.seed = derived_seed(self.seed, 1)  # other noise than in pretraining
        with torch.no_grad():
            self.centroids.copy_(torch.from_numpy(centroids))

    @abstractmethod
    def cluster_loss(self, x: Tensor, z: Tensor, index: Tensor) -> Tensor:
        """Return the loss of the clusters for cells x (B, G), their index and noisy latent z."""

    def clusters_of(self, data: CellDataModule) -> tuple[np.ndarray, np.ndarray]:
        """Return clusters (n,) of all cells, and the latent z (n, d) without noise."""
        z = data.embed(self)["z"]
        return self.renew_clusters(z).numpy(), z

    @abstractmethod
    def renew_clusters(self, z: np.ndarray) -> Tensor:
        """Return clusters (n,) of all cells from their latent z (n, d) without noise."""


@dataclass(kw_only=True)
class ZINBClustering(NetworkMethod):
    """Pretrain the autoencoder, make clusters, and train both until the labels settle."""

    name: str = setting("zinb", "What the results call it.")
    preprocess: Preprocess = setting(Preprocess(), "From counts to what the network sees.")
    encoder_dims: list[int] = setting([256, 64, 32], "Widths; the decoder mirrors them.", low=1)
    noise_sd: float = setting(0.0, "Sd of the noise before each ReLU of the encoder.", low=0)
    ridge: float = setting(0.0, "Weight of pi^2.", low=0)
    batch_size: int = setting(256, "Cells in a batch.", low=2)
    pretrain_epochs: int = setting(400, "Epochs of the autoencoder alone.", low=1)
    pretrain_patience: int | None = setting(None, "Steps without a gain that end it.", low=1)
    pretrain_gain: float = setting(0.01, "Least gain, a share of the best loss.", low=0, high=1)
    pretrain_lr: float = setting(0.001, "Learning rate of the pretraining.", low=0)
    kmeans_starts: int = setting(20, "Starts of the K-means that begins the clustering.", low=1)
    lr: float = setting(1.0, "Learning rate of the clustering.", low=0)
    gamma: float = setting(1.0, "Weight of the self-training term.", low=0)
    epochs: int = setting(1200, "Epochs of the clustering at most.", low=1)
    check_every: int = setting(1, "Epochs from one check of the labels to the next.", low=1)
    tolerance: float = setting(0.001, "End if a smaller share of cells changes.", low=0, high=1)

    module_class: ClassVar[type[ZINBAutoencoder]]

    def train(self, job: Training) -> Result:
        if job.x.kind == "log1p":
            raise UserError(f"{self.name} models counts, not logarithms: choose another method.")
        counts = job.x.counts().toarray()  # (n, g)
        data = CellDataModule(
            job.x, counts, job.x.size_factors, batch_size=self.batch_size, seed=job.seed
        )
        size = {"n_genes": job.x.n_genes, "n_clusters": job.n_clusters}
        module = self.module_class(self, **size, seed=job.seed)
        history, plateau = job.history, Plateau(self.pretrain_patience, self.pretrain_gain)
        fit(module, data, job.run, self.pretrain_epochs, history, "pretrain", [plateau])
        job.watch.lap("pretrain")
        pretrained = len(history.rows)
        z = data.embed(module)["z"]  # (n, encoder_dims[-1])
        _, centroids = kmeans(z, job.n_clusters, seed=job.seed, n_init=self.kmeans_starts)
        module.start_clustering(centroids)
        settled = SettledLabels(self.check_every, self.tolerance)
        fit(module, data, job.run, self.epochs, history, "cluster", [settled])
        job.watch.lap("train")
        labels, z = module.clusters_of(data)
        trained = len(history.rows) - pretrained
        return Result(labels, z, {}, {"pretrain_epochs": pretrained, "epochs": trained})


def _keras(layer: nn.Module) -> None:
    """Start a linear layer as Keras does: Glorot's uniform weights, biases of 0."""
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
