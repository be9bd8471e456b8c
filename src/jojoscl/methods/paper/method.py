"""JojoSCL as a method: settings in, :class:`~jojoscl.methods.base.Result` out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData

from jojoscl.clustering.kmeans import assign
from jojoscl.data.preprocess import Preprocess
from jojoscl.data.store import preprocessed
from jojoscl.methods.base import Result, check_n_clusters, earlier, estimated, isolated_and_timed
from jojoscl.methods.paper.module import PaperModule
from jojoscl.runner.config import from_preset
from jojoscl.training.callbacks import OracleSelection, TemporalClusters
from jojoscl.training.datamodule import CellDataModule
from jojoscl.training.fit import fit
from jojoscl.training.settings import Oracle, Run
from jojoscl.training.shrinkage_log import ShrinkageRecord, map_embedding
from jojoscl.utils.clock import Stopwatch
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

    @isolated_and_timed
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
        watch = Stopwatch()
        x = preprocessed(self.preprocess, adata, run.cache)
        watch.lap("preprocess")
        k = told or from_preset("default").n_clusters_of(x, seed=seed)
        watch.lap("anchor")
        data = CellDataModule(x, batch_size=self.batch_size, seed=seed)
        epochs = run.trainer.max_epochs or self.epochs
        module = self.module(x.shape[1], k, len(x), seed=seed, epochs=epochs)
        temporal = [TemporalClusters()] if self.sure != "none" and self.temporal_labels == "epoch" else []
        selection = [OracleSelection(oracle, self.assign_on, self.kmeans_starts)] if oracle else []
        record = ShrinkageRecord(clusters=bool(temporal))
        history = fit(module, data, run, max_epochs=epochs, callbacks=[record, *temporal, *selection])
        watch.lap("train")

        outputs = data.embed(module, only=(self.assign_on, module.clusters_on))
        labels = last = assign(outputs, self.assign_on, k, seed=seed, n_init=self.kmeans_starts)
        obsm: dict[str, np.ndarray] = {}
        info: dict[str, Any] = {"epochs": epochs} | estimated(n_clusters, k)
        if selection:
            best = selection[0].best
            labels, outputs = best["labels"].numpy(), best["outputs"]
            info["selected_epoch"] = best["epoch"]  # whose network, and so b_k, is gone
        else:
            obsm["map"] = map_embedding(module, data, outputs[module.clusters_on], labels)
        watch.lap("assign")
        return Result(
            labels,
            np.asarray(outputs[module.clusters_on]),
            watch.seconds | earlier(history),
            info,
            history.rows,
            last_labels=last if selection else None,
            obsm=obsm,
            shrinkage=record.rows,
        )

    def module(self, n_genes: int, n_clusters: int, n_cells: int, *, seed: int, epochs: int) -> PaperModule:
        """Return the LightningModule with these settings."""
        return PaperModule(self, n_genes, n_clusters, n_cells, seed=seed, max_epochs=epochs)
