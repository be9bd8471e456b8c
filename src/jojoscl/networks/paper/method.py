"""JojoSCL as published, and as its released code runs."""

from __future__ import annotations

from dataclasses import dataclass

import lightning as L

from jojoscl.core.interface import Result
from jojoscl.core.kmeans import assign
from jojoscl.networks.callbacks import OracleSelection, TemporalClusters
from jojoscl.networks.method import Training
from jojoscl.networks.paper.module import PaperModule
from jojoscl.networks.paper.settings import PaperSettings
from jojoscl.networks.shrinkage_log import ShrinkageRecord, map_embedding


@dataclass(kw_only=True)
class PaperJojoSCL(PaperSettings):
    """Shrinkage contrastive learning as published, with a shrinkage term that acts.

    Wang, BIBM 2024.

    Examples
    --------
    >>> method = jojoscl.PaperJojoSCL(epochs=5)  # doctest: +SKIP
    >>> method.fit_predict(adata, n_clusters=8).labels  # doctest: +SKIP
    """

    takes_oracle = True
    estimates_k = True

    def train(self, job: Training) -> Result:
        data, epochs = job.data(batch_size=self.batch_size), job.epochs(self.epochs)
        size = job.x.n_genes, job.n_clusters, len(job.x)
        module = self.module(*size, seed=job.seed, epochs=epochs)
        temporal = self.sure != "none" and self.temporal_labels == "epoch"
        record = ShrinkageRecord(clusters=temporal)
        callbacks: list[L.Callback] = [record]
        if temporal:
            callbacks.append(TemporalClusters())
        if job.oracle:
            callbacks.append(OracleSelection(job.oracle, self.assign_on, self.kmeans_starts))
        job.fit(module, data, epochs, callbacks)

        on = module.clusters_on  # h or z
        outputs = data.embed(module, only=(self.assign_on, on))  # (n, P) each
        starts = self.kmeans_starts
        labels = assign(outputs, self.assign_on, job.n_clusters, seed=job.seed, n_init=starts)
        info = {"epochs": epochs}
        if isinstance(chosen := callbacks[-1], OracleSelection):
            best = chosen.best  # its network, and so its b_k, is gone: there is no map
            info["selected_epoch"] = best["epoch"]
            found, h = best["labels"].numpy(), best["outputs"][on].numpy()
            return job.result(found, h, info=info, shrinkage=record.rows, last_labels=labels)
        obsm = {"map": map_embedding(module, data, outputs[on], labels)}
        return job.result(labels, outputs[on], info=info, shrinkage=record.rows, obsm=obsm)

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
    """JojoSCL as its released code runs: its SURE and its entropy term are always zero."""
