"""Contrastive-sc: gene masking only, no head, no momentum (Ciortan & Defrance, BMC Bioinformatics 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from anndata import AnnData
from torch import Tensor, nn

from jojoscl.clustering.kmeans import assign
from jojoscl.data.preprocess import Preprocess
from jojoscl.methods.base import Result, check_n_clusters
from jojoscl.model.losses import nt_xent
from jojoscl.model.networks import Encoder
from jojoscl.model.views import random_view
from jojoscl.training.datamodule import CellDataModule
from jojoscl.training.distributed import gather
from jojoscl.training.fit import fit
from jojoscl.training.module import SeededModule
from jojoscl.training.settings import Run
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.settings import Settings, between


class ContrastiveSCModule(SeededModule):
    """One encoder that sees each batch twice, each time with other genes masked."""

    splits_batches = True

    def __init__(self, n_genes: int, *, seed: int, **hyper: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.seed, self.hyper = seed, hyper
        self.encoder = Encoder([n_genes, *hyper["encoder_dims"]], plain_last=True)
        for layer in self.encoder:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"h": self.encoder(x)}

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        x = batch[0]
        z_a, z_b = (self.encoder(random_view(x, self.hyper["mask_rate"], 0.0, self.generator)) for _ in range(2))
        loss = nt_xent(gather(z_a), gather(z_b), self.hyper["temperature"])
        self.record(batch_idx, loss=loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hyper["lr"], fused=True)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.hyper["lr_period"])]


@dataclass(kw_only=True)
class ContrastiveSC(Settings):
    """Contrastive-sc with K-means on the embedding."""

    name: str
    preprocess: Preprocess
    encoder_dims: list[int]
    mask_rate: float = between(0, 0.999)
    temperature: float = between(1e-3)
    epochs: int = between(1)
    batch_size: int = between(2)
    lr: float = between(0)
    lr_period: int = between(1)

    takes_oracle = False

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`)."""
        run = run or Run()
        k = check_n_clusters(n_clusters, adata.n_obs)
        watch = Stopwatch()
        cells = self.preprocess(adata, run.cache)
        watch.lap("preprocess")

        L.seed_everything(seed, verbose=False)
        data = CellDataModule(cells.X, batch_size=self.batch_size, seed=seed)
        module = self.module(cells.n_vars, seed=seed)
        history = fit(module, data, run, max_epochs=run.trainer.max_epochs or self.epochs)
        watch.seconds["train"] = history.seconds
        outputs = data.embed(module)
        labels = assign(outputs, "h", k, seed=seed, n_init=10)
        return Result(labels, outputs["h"], watch.seconds, {"epochs": len(history.rows)}, history.rows)

    def module(self, n_genes: int, *, seed: int) -> ContrastiveSCModule:
        """The LightningModule with these settings."""
        names = ("encoder_dims", "mask_rate", "temperature", "lr", "lr_period")
        return ContrastiveSCModule(n_genes, seed=seed, **{name: getattr(self, name) for name in names})
