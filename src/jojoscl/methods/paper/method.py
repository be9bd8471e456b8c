"""JojoSCL as a method: settings in, :class:`~jojoscl.methods.base.Result` out."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Any

import lightning as L
import numpy as np
from anndata import AnnData

from jojoscl.clustering.kmeans import assign
from jojoscl.data.preprocess import Preprocess, preprocessed
from jojoscl.methods.base import Result, check_n_clusters, estimated
from jojoscl.methods.paper.module import PaperModule
from jojoscl.runner.config import from_preset
from jojoscl.training.callbacks import EpochLabels, OracleSelection
from jojoscl.training.datamodule import CellDataModule
from jojoscl.training.fit import fit
from jojoscl.training.settings import Oracle, Run
from jojoscl.training.shrinkage_log import ShrinkageRecord, map_embedding
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings, between, one_of


@dataclass(kw_only=True)
class PaperJojoSCL(Settings):
    """Shrinkage contrastive learning as published (Wang, BIBM 2024); `conf/preset/paper.yaml` explains the settings.

    Examples
    --------
    >>> method = jojoscl.from_preset("paper", epochs=5)  # doctest: +SKIP
    >>> method.fit_predict(adata, n_clusters=8).labels  # doctest: +SKIP
    """

    name: str
    preset: str
    preprocess: Preprocess
    encoder_dims: list[int]
    instance_dims: list[int]
    cluster_dims: list[int]
    mask_rate: float = between(0, 0.999)
    noise_sd: float = between(0)
    momentum: float = between(0, 1)
    alpha: float = between(0)
    beta: float = between(0)
    lambda_: float = between(0)
    queue: int = between(0)
    temperature: float = between(1e-3)
    cluster_temperature: float = between(1e-3)
    cluster_similarity: str = one_of("cosine", "dot")
    entropy: str = one_of("true_axis", "released")
    sure: str = one_of("none", "released", "centroid", "two_view")
    temporal_labels: str = one_of("epoch", "batch")
    assign_on: str = one_of("h", "z", "cluster_head")
    kmeans_starts: int = between(1)
    epochs: int = between(1)
    batch_size: int = between(2)
    lr: float = between(0)
    lr_period: int | None = between(1)

    takes_oracle = True

    def __post_init__(self) -> None:
        super().__post_init__()
        dims = [*self.encoder_dims, *self.instance_dims, *self.cluster_dims]
        if not self.encoder_dims or not self.instance_dims or min(dims) < 1:
            raise UserError(
                "encoder_dims, instance_dims and cluster_dims hold the widths of layers: give numbers of at least 1, "
                "and to the first two one or more."
            )

    def fit_predict(
        self,
        adata: AnnData,
        n_clusters: int | None,
        *,
        seed: int = 0,
        run: Run | None = None,
        oracle: Oracle | None = None,
    ) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`).

        `oracle` is given only under selection=oracle.
        """
        run = run or Run()
        told = None if n_clusters is None else check_n_clusters(n_clusters, adata.n_obs)
        started = time.perf_counter()
        x = preprocessed(self.preprocess, adata, run.cache)
        ready = time.perf_counter()

        k = told or from_preset("default").n_clusters_of(x, seed=seed)
        L.seed_everything(seed, verbose=False)
        data = CellDataModule(x, batch_size=self.batch_size, seed=seed)
        epochs = run.trainer.max_epochs or self.epochs
        module = self.module(x.shape[1], k, len(x), seed=seed, epochs=epochs)
        callbacks: list[L.Callback] = []
        if self.sure != "none" and self.temporal_labels == "epoch":
            callbacks.append(EpochLabels())
        record = ShrinkageRecord(clusters=bool(callbacks))
        selection = OracleSelection(oracle, self.assign_on, self.kmeans_starts) if oracle else None
        if selection:
            callbacks.append(selection)
        history = fit(module, data, run, max_epochs=epochs, callbacks=[record, *callbacks])

        fitted = time.perf_counter()
        outputs = data.embed(module, only=(self.assign_on, module.space))
        labels = last = assign(outputs, self.assign_on, k, seed=seed, n_init=self.kmeans_starts)
        obsm: dict[str, np.ndarray] = {}
        info: dict[str, Any] = {"epochs": epochs} | estimated(n_clusters, k)
        if selection:
            labels, outputs = selection.best["labels"].numpy(), selection.best["outputs"]
            info["selected_epoch"] = selection.best["epoch"]  # whose network, and so b_k, is gone
        else:
            obsm["map"] = map_embedding(module, data, outputs[module.space], labels)
        seconds = {
            "preprocess": ready - started,
            "train": history.seconds,
            "assign": time.perf_counter() - fitted,
        }
        embedding = np.asarray(outputs[module.space])
        return Result(
            labels,
            embedding,
            seconds,
            info,
            history.rows,
            last_labels=last if selection else None,
            obsm=obsm,
            shrinkage=record.rows,
        )

    def module(self, n_genes: int, n_clusters: int, n_cells: int, *, seed: int, epochs: int) -> PaperModule:
        """The LightningModule with these settings, its weights drawn by torch's global generator."""
        outside = {"name", "preset", "preprocess", "kmeans_starts", "epochs", "batch_size"}
        hyper = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in outside}
        return PaperModule(n_genes, n_clusters, n_cells, seed=seed, max_epochs=epochs, **hyper)
