"""The headline method: networks anchored to shrunken principal components, then a consensus of linkages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from anndata import AnnData

from jojoscl.clustering.consensus import Consensus, consensus, micro_linkage, snn_mean
from jojoscl.clustering.graph import estimate_n_clusters, neighbors_within
from jojoscl.clustering.kmeans import nearest_mean
from jojoscl.data.preprocess import Preprocess, preprocessed
from jojoscl.data.store import Store, centred
from jojoscl.methods.base import MethodSettings, Result, check_n_clusters, earlier, estimated, isolated_and_timed
from jojoscl.methods.jojoscl.module import JojoSCLModule
from jojoscl.model.anchor import Anchor, normalise, pca_anchor, principal_axes, softness
from jojoscl.training.callbacks import History, TemporalClusters
from jojoscl.training.datamodule import CellDataModule
from jojoscl.training.fit import fit
from jojoscl.training.settings import Run
from jojoscl.training.shrinkage_log import ShrinkageRecord, map_embedding
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import at_most, derived_seed
from jojoscl.utils.settings import setting


class Trained(NamedTuple):
    """A trained network, its cells and their embeddings (n_cells, d), turned to their principal axes."""

    module: JojoSCLModule
    data: CellDataModule
    space: np.ndarray
    history: History
    record: ShrinkageRecord


@dataclass(kw_only=True)
class JojoSCL(MethodSettings):
    """Shrinkage contrastive learning: what :func:`jojoscl.cluster` runs.

    SURE acts twice: it shrinks the principal components that anchor the networks, and the embeddings of cells toward
    their centroids. Clusters are the consensus of average linkages of the anchor and of the networks' embeddings.

    Examples
    --------
    >>> method = jojoscl.JojoSCL(epochs=5)  # doctest: +SKIP
    >>> method.fit_predict(adata, n_clusters=8).labels  # doctest: +SKIP
    """

    name: str = setting("jojoscl", "What the results call it.")
    preprocess: Preprocess = setting(Preprocess(max_value=10.0), "From counts to what the networks see.")
    n_dims: int = setting(40, "Components of the anchor, and width of the embedding h.", low=1)
    shrink_components: bool = setting(True, "Whether each component of the anchor is shrunk by its reliability.")
    anchor_draws: int = setting(4, "Random halves of the genes that the reliability is a mean over.", low=1)
    soft_above: float = setting(
        0.85, "Soft normalisation where the leading components are at least so reliable, else the cosine.", low=0
    )
    leading: int = setting(5, "How many components lead.", low=1)
    n_networks: int = setting(2, "Networks, each from a seed of its own; 0: the anchor alone.", low=0)
    hidden: int = setting(
        128, "Width of the hidden layer of the correction to the anchor, which starts at zero.", low=1
    )
    instance_dims: list[int] = setting([128, 64], "Widths of the instance head; z is the last.", low=1)
    mask_rate: float = setting(0.5, "Share of the genes that a view masks.", low=0, high=0.999)
    noise_sd: float = setting(0.1, "Standard deviation of the noise of a view.", low=0)
    n_positives: int = setting(5, "The key sees one of this many nearest neighbors; 0: the cell itself.", low=0)
    neighbor_dims: int = setting(30, "Components of the anchor in which neighbors are sought.", low=1)
    momentum: float = setting(0.99, "theta_key = momentum theta_key + (1 - momentum) theta_query.", low=0, high=1)
    alpha: float = setting(0.5, "Weight of the instance loss; that of staying at the anchor is 1.", low=0)
    beta: float = setting(0.1, "Weight of the cluster loss.", low=0)
    lambda_: float = setting(0.3, "Weight of SURE.", low=0)
    temperature: float = setting(0.2, "Temperature of the instance loss.", low=1e-3)
    cluster_temperature: float = setting(0.5, "Temperature of the cluster loss.", low=1e-3)
    overcluster: int = setting(4, "SURE shrinks toward this many centroids for each cluster.", low=1)
    renewals: int = setting(4, "How often in a training these centroids are renewed.", low=1)
    epochs: int = setting(10, "Epochs of each network.", low=1)
    min_steps: int = setting(100, "More epochs where these would make fewer steps.", low=0)
    batch_size: int = setting(256, "Cells in a batch, of all devices together.", low=2)
    lr: float = setting(0.001, "Peak of AdamW's one cycle.", low=0)
    weight_decay: float = setting(1e-4, "Weight decay of AdamW.", low=0)
    anchor_partitions: int = setting(8, "Partitions of the anchor in the consensus.", low=1)
    network_partitions: int = setting(4, "Partitions of each network's embedding in the consensus.", low=1)
    min_dims: int = setting(12, "A partition sees the first min_dims to n_dims axes.", low=1)
    smoothing: list[int] = setting(
        [10, 20],
        "A partition averages over the shared nearest neighbors among so many, the fewest and the most.",
        low=1,
    )
    prune: float = setting(1 / 15, "A smaller Jaccard index of two cells' neighbors counts as none.", low=0, high=1)
    n_micro: int = setting(150, "K-means clusters that linkage starts from.", low=1)
    min_cells: int = setting(3, "A cluster of fewer cells joins another.", low=1)
    landmarks: int = setting(6000, "Cells that make the tree of the consensus.", low=2)
    sample: int = setting(
        30000,
        "Above this many cells a random subset makes the components and each partition; steps stop growing.",
        low=2,
    )
    estimate_neighbors: int = setting(15, "Neighbors in the graph that estimates an unknown number of clusters.", low=2)
    estimate_resolution: float = setting(1.0, "Leiden's resolution in that graph.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.instance_dims:
            raise UserError("instance_dims holds the widths of layers: give one or more numbers of at least 1.")
        if len(self.smoothing) != 2 or self.smoothing[0] > self.smoothing[1]:
            raise UserError(f"smoothing is the fewest and the most neighbors, such as [10, 20], not {self.smoothing}.")
        if self.min_dims > self.n_dims:
            raise UserError(f"min_dims={self.min_dims} is more than n_dims={self.n_dims}: lower it.")

    @isolated_and_timed
    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`)."""
        run = run or Run()
        told = None if n_clusters is None else check_n_clusters(n_clusters, adata.n_obs)
        watch = Stopwatch()
        x = centred(preprocessed(self.preprocess, adata, run.cache))
        watch.lap("preprocess")
        anchor, loadings, scores = self.start(x, seed=seed)
        soft = softness(anchor.reliability, self.soft_above, leading=self.leading)
        k = told or self.estimate(scores, seed=seed)
        watch.lap("anchor")
        near = self.neighbors(scores, seed=seed) if self.n_networks else None
        networks = [
            self.train_network(x, scores, loadings, near, k, stage=i, seed=seed, run=run)
            for i in range(self.n_networks)
        ]
        spaces = [scores, *(network.space for network in networks)]
        rows = [row for network in networks for row in network.history.rows]
        watch.lap("train")
        found = self.cluster(spaces, soft, k, seed=seed)
        maps = {"map": map_embedding(*networks[-1][:2], spaces[-1], found.labels)} if networks else {}
        watch.lap("assign")
        return Result(
            found.labels,
            spaces[-1],
            watch.seconds | earlier(*(network.history for network in networks)),
            {"epochs": len(rows), "soft": soft} | estimated(n_clusters, k),
            rows,
            obs={"confidence": found.confidence},
            obsm=maps,
            shrinkage=[row for network in networks for row in network.record.rows],
            uns={"sigma2": anchor.sigma2, "tau2": anchor.tau2, "reliability": anchor.reliability},
        )

    def start(self, x: np.ndarray | Store, *, seed: int) -> tuple[Anchor, np.ndarray, np.ndarray]:
        """The anchor of x (n_cells, G), loadings (G, d), and scores x loadings (n_cells, d) of mean square length 1."""
        anchor = pca_anchor(at_most(x, self.sample, seed=seed), self.n_dims, draws=self.anchor_draws, seed=seed)
        loadings = self.loadings(anchor)
        scores = x @ loadings
        scale = np.float32(max(np.linalg.norm(scores) / len(x) ** 0.5, 1e-12))
        return anchor, loadings / scale, np.divide(scores, scale, out=scores)

    def loadings(self, anchor: Anchor) -> np.ndarray:
        """(genes, d), shrunken ones unless the settings say otherwise."""
        return anchor.shrunk_loadings if self.shrink_components else anchor.loadings

    def neighbors(self, scores: np.ndarray, *, seed: int) -> np.ndarray:
        """Return the cells (n_cells, n_positives) that may stand in for each, by the angle of scores (n_cells, d).

        Without positives that is the cell itself, (n_cells, 1). Of many cells they are sought in blocks.
        """
        near = normalise(scores[:, : self.neighbor_dims], 0)
        most = self.sample if len(near) <= self.sample else -(-self.sample // 3)
        found = neighbors_within(near, self.n_positives + 1, most, seed=seed)
        return found[:, min(1, self.n_positives) :]  # a cell is its own first neighbor

    def train_network(
        self,
        x: np.ndarray | Store,
        scores: np.ndarray,
        loadings: np.ndarray,
        neighbors: np.ndarray | None,
        n_clusters: int,
        *,
        stage: int,
        seed: int,
        run: Run,
    ) -> Trained:
        """Train a network on x (n_cells, G) from its own seed; it starts at scores = x loadings (n_cells, d)."""
        own_seed = derived_seed(seed, stage) % 2**32
        data = CellDataModule(x, scores, batch_size=self.batch_size, seed=own_seed, neighbors=neighbors)
        enough = max(1, round(self.epochs * min(1.0, self.sample / len(x))))  # steps do not grow with the cells
        epochs = run.trainer.max_epochs or max(enough, -(-self.min_steps // data.n_batches))
        module = self.module(loadings, len(x), n_clusters, seed=own_seed, epochs=epochs)
        record = ShrinkageRecord(stage * epochs)
        callbacks = [TemporalClusters(max(1, epochs // self.renewals)), record]
        history = fit(
            module,
            data,
            run,
            max_epochs=epochs,
            stage=f"network{stage}",
            callbacks=callbacks,
            first_epoch=stage * epochs,
        )
        return Trained(module, data, principal_axes(data.embed(module)["h"]), history, record)

    def module(self, loadings: np.ndarray, n_cells: int, n_clusters: int, *, seed: int, epochs: int) -> JojoSCLModule:
        """Return the LightningModule with these settings."""
        return JojoSCLModule(self, torch.from_numpy(loadings), n_cells, n_clusters, seed=seed, max_epochs=epochs)

    def n_clusters_of(self, x: np.ndarray | Store, *, seed: int) -> int:
        """The estimate of K for a method without an anchor, from its preprocessed cells x (n_cells, G)."""
        some = at_most(x, self.sample, seed=seed)
        some = some - some.mean(0)
        anchor = pca_anchor(some, self.n_dims, draws=self.anchor_draws, seed=seed)
        return self.estimate(some @ self.loadings(anchor), seed=seed)

    def estimate(self, scores: np.ndarray, *, seed: int) -> int:
        """K from scores (n_cells, d) of the anchor."""
        return estimate_n_clusters(
            at_most(scores, self.sample, seed=seed),
            n_neighbors=self.estimate_neighbors,
            resolution=self.estimate_resolution,
            min_cells=self.min_cells,
            seed=seed,
        )

    def cluster(self, spaces: list[np.ndarray], soft: float, n_clusters: int, *, seed: int) -> Consensus:
        """The consensus of random partitions of the anchor's scores, spaces[0], and of the networks' embeddings."""
        rng = np.random.default_rng(seed)
        repeats = [self.anchor_partitions] + [self.network_partitions] * (len(spaces) - 1)
        partitions = [
            self.partition(space, soft, n_clusters, rng)
            for space, times in zip(spaces, repeats, strict=True)
            for _ in range(times)
        ]
        return consensus(partitions, n_clusters, min_cells=self.min_cells, landmarks=self.landmarks, seed=seed)

    def partition(self, space: np.ndarray, soft: float, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
        """Average linkage (n_cells,) of a random number of axes after a random amount of smoothing.

        Of many cells a sample is smoothed and linked, and each cell joins the nearest of its small clusters.
        """
        n_dims = int(rng.integers(min(self.min_dims, space.shape[1]), space.shape[1] + 1))
        n_neighbors = int(rng.integers(self.smoothing[0], self.smoothing[1] + 1))
        seed = int(rng.integers(2**20))
        points = normalise(space[:, :n_dims], soft)
        sample = at_most(points, self.sample, seed=seed)
        x = snn_mean(sample, n_neighbors, self.prune)
        x = x if soft else normalise(x, 0)  # a mean of unit vectors is shorter
        micro, cluster_of = micro_linkage(x, n_clusters, self.n_micro, seed=seed)
        return cluster_of[micro if len(sample) == len(points) else nearest_mean(points, sample, micro)]
