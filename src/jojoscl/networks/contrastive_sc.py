"""Contrastive-sc: views by masking alone, no head, no momentum.

Ciortan & Defrance, BMC Bioinformatics 2021.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import Result
from jojoscl.core.kmeans import kmeans
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import NetworkMethod, Training, fit
from jojoscl.networks.losses import nt_xent
from jojoscl.networks.module import SeededModule, adam_with_cosine, gather, layers, weights_from
from jojoscl.networks.views import random_view
from jojoscl.utils.settings import setting


class ContrastiveSCModule(SeededModule):
    """One encoder that sees each batch twice, each time with other genes masked."""

    settings: "ContrastiveSC"
    splits_batches = True

    def __init__(self, settings: "ContrastiveSC", *, n_genes: int, seed: int) -> None:
        super().__init__(settings, seed=seed, n_genes=n_genes)
        with weights_from(seed):
            self.encoder = layers([n_genes, *settings.encoder_dims], norm=True, last_relu=False)
            for layer in self.encoder:
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return h (B, d), rows of length 1, of cells x (B, G)."""
        return {"h": F.normalize(self.encoder(x).to(x.dtype))}  # float32 under autocast too

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the contrast of two views of B cells, by masks alone."""
        x = batch[0]  # (B, G)
        views = (random_view(x, self.settings.mask_rate, 0.0, self.generator) for _ in range(2))
        h_a, h_b = (gather(self(view)["h"]) for view in views)  # (B, d)
        loss = nt_xent(h_a, h_b, self.settings.temperature, "dot")
        self.record(loss=loss)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return adam_with_cosine(self, self.settings.lr, self.settings.lr_period)


@dataclass(kw_only=True)
class ContrastiveSC(NetworkMethod):
    """Contrastive-sc with K-means on the embedding."""

    name: str = setting("contrastive_sc", "What the results call it.")
    preprocess: Preprocess = setting(Preprocess(n_top_genes=500), "From counts to z-scores.")
    encoder_dims: list[int] = setting([200, 40, 60], "Widths, the last layer linear.", low=1)
    mask_rate: float = setting(0.9, "Share of the genes that a view masks.", low=0, high=0.999)
    temperature: float = setting(0.07, "Temperature of the contrast.", low=1e-3)
    epochs: int = setting(30, "Epochs of the training.", low=1)
    batch_size: int = setting(200, "Cells in a batch, of all devices together.", low=2)
    lr: float = setting(0.4, "Learning rate of Adam at the start.", low=0)
    lr_period: int = setting(500, "Half period of the cosine in epochs.", low=1)
    kmeans_starts: int = setting(10, "Starts of the final K-means; the best is kept.", low=1)

    def train(self, job: Training) -> Result:
        data = CellDataModule(job.x, batch_size=self.batch_size, seed=job.seed)
        module = ContrastiveSCModule(self, n_genes=job.x.n_genes, seed=job.seed)
        fit(module, data, job.run, self.epochs, job.history)
        job.watch.lap("train")
        h = data.embed(module)["h"]  # (n, encoder_dims[-1])
        labels, _ = kmeans(h, job.n_clusters, seed=job.seed, n_init=self.kmeans_starts)
        return Result(labels, h, {}, {"epochs": len(job.history.rows)})
