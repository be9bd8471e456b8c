"""JojoSCL as a method: settings in, :class:`~jojoscl.core.interface.Result` out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from anndata import AnnData

from jojoscl.cells.old import preprocessed
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import (
    MethodSettings,
    Result,
    check_n_clusters,
    earlier,
    estimated,
    isolated_and_timed,
)
from jojoscl.core.kmeans import assign
from jojoscl.core.method import JojoSCL
from jojoscl.networks.callbacks import OracleSelection, TemporalClusters
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper.module import PaperModule
from jojoscl.networks.settings import Oracle, Run
from jojoscl.networks.shrinkage_log import ShrinkageRecord, map_embedding
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import setting

_SURE = ("none", "released", "centroid", "two_view")


@dataclass(kw_only=True)
class PaperJojoSCL(MethodSettings):
    """Shrinkage contrastive learning as published (Wang, BIBM 2024), with a shrinkage term that acts.

    Examples
    --------
    >>> method = jojoscl.PaperJojoSCL(epochs=5)  # doctest: +SKIP
    >>> method.fit_predict(adata, n_clusters=8).labels  # doctest: +SKIP
    """

    name: str = setting("jojoscl_paper", "What the results call it.")
    preprocess: Preprocess = setting(Preprocess(), "From counts to what the networks see.")
    encoder_dims: list[int] = setting(
        [512, 256, 128], "Widths of the encoder's layers; h is the last.", low=1
    )
    instance_dims: list[int] = setting(
        [192, 192], "Widths of the instance head; z is the last.", low=1
    )
    cluster_dims: list[int] = setting(
        [64], "Hidden widths of the cluster head, which ends in K and softmax.", low=1
    )
    mask_rate: float = setting(0.9, "Share of the genes that a view masks.", low=0, high=0.999)
    noise_sd: float = setting(0.1, "Standard deviation of the noise of a view.", low=0)
    momentum: float = setting(
        0.5, "theta_key = momentum theta_key + (1 - momentum) theta_query.", low=0, high=1
    )
    alpha: float = setting(1.0, "Weight of the instance loss.", low=0)
    beta: float = setting(1.0, "Weight of the cluster loss.", low=0)
    lambda_: float = setting(10.0, "Weight of SURE, for each coordinate of h.", low=0)
    temperature: float = setting(0.07, "Temperature of the instance loss.", low=1e-3)
    cluster_temperature: float = setting(0.07, "Temperature of the cluster loss.", low=1e-3)
    cluster_similarity: str = setting(
        "cosine", "How columns of soft clusters are compared.", values=("cosine", "dot")
    )
    entropy: str = setting(
        "true_axis", "Entropy term; 'released' is zero.", values=("true_axis", "released")
    )
    sure: str = setting("two_view", "Form of the shrinkage term; 'released' is zero.", values=_SURE)
    temporal_labels: str = setting(
        "epoch", "When K-means renews SURE's clusters.", values=("epoch", "batch")
    )
    assign_on: str = setting(
        "h", "What makes the clusters, temporal and final.", values=("h", "z", "cluster_head")
    )
    kmeans_starts: int = setting(10, "Starts of the final K-means; the best is kept.", low=1)
    epochs: int = setting(200, "Epochs of the training.", low=1)
    batch_size: int = setting(256, "Cells in a batch, of all devices together.", low=2)
    lr: float = setting(0.01, "Learning rate of Adam at the start.", low=0)
    lr_period: int | None = setting(
        None, "Half period of the cosine in epochs; None is all epochs.", low=1
    )

    takes_oracle = True
    estimates_k: ClassVar[bool] = True  # where it is not told

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.encoder_dims or not self.instance_dims:
            raise UserError(
                "encoder_dims and instance_dims hold the widths of layers: give one or more numbers."
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
        """Cluster the cells of `adata` (see :class:`~jojoscl.core.interface.Method`).

        `oracle` is given only under selection=oracle.
        """
        run = run or Run()
        told = (
            None
            if n_clusters is None and self.estimates_k
            else check_n_clusters(n_clusters, adata.n_obs)
        )
        watch = Stopwatch()
        x = preprocessed(self.preprocess, adata)
        watch.lap("preprocess")
        k = told or JojoSCL().n_clusters_of(adata, seed=seed, cache=run.cache)
        watch.lap("anchor")
        data = CellDataModule(x, batch_size=self.batch_size, seed=seed)
        epochs = run.trainer.max_epochs or self.epochs
        module = self.module(x.shape[1], k, len(x), seed=seed, epochs=epochs)
        temporal = (
            [TemporalClusters()] if self.sure != "none" and self.temporal_labels == "epoch" else []
        )
        selection = [OracleSelection(oracle, self.assign_on, self.kmeans_starts)] if oracle else []
        record = ShrinkageRecord(clusters=bool(temporal))
        history = fit(
            module, data, run, max_epochs=epochs, callbacks=[record, *temporal, *selection]
        )
        watch.lap("train")

        outputs = data.embed(module, only=(self.assign_on, module.clusters_on))
        labels = last = assign(outputs, self.assign_on, k, seed=seed, n_init=self.kmeans_starts)
        obsm: dict[str, np.ndarray] = {}
        info: dict[str, object] = {"epochs": epochs, **estimated(n_clusters, k)}
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

    def module(
        self, n_genes: int, n_clusters: int, n_cells: int, *, seed: int, epochs: int
    ) -> PaperModule:
        """Return the LightningModule with these settings."""
        return PaperModule(self, n_genes, n_clusters, n_cells, seed=seed, max_epochs=epochs)


@dataclass(kw_only=True)
class ReleasedJojoSCL(
    PaperJojoSCL,
    name="jojoscl_released",
    lambda_=1.0,
    cluster_similarity="dot",
    entropy="released",
    sure="released",
    temporal_labels="batch",
    assign_on="z",
    kmeans_starts=1,  # as its KMeans does under a current scikit-learn
    lr=0.2,
    lr_period=500,
):
    """JojoSCL as its released code runs end to end; its SURE is identically zero, and its entropy term too."""
