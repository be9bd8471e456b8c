"""What shrinkage does while networks train, and to the embedding in the end."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from jojoscl.core.metrics import cosine_gap
from jojoscl.networks.callbacks import Kept
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.module import MomentumModule
from jojoscl.networks.settings import Hooked
from jojoscl.networks.sure import estimate_shrinkage, shrink_to_clusters
from jojoscl.utils.seeding import at_most, derived_seed

_MOST_CELLS = 100_000
_DISTANCES_AFTER = (10, 50, 100)  # epochs, and after the last
_BATCH = 4096  # cells


class ShrinkageRecord(Kept):
    """A tidy record of each epoch, from the views that were trained on: nothing is drawn again.

    At most the last 100,000 views of an epoch are kept. The record is saved in the checkpoint, like
    :class:`~jojoscl.networks.callbacks.History`.

    Attributes
    ----------
    rows
        With the keys epoch, quantity, cluster, other and value. The quantities are

        - cosine_gap: mean cosine of the two views of a cell minus that of views of different cells,
        - n, sigma2, tau2, b of each temporal cluster,
        - movement: how far its centroid moved since the epoch before,
        - distance between two centroids, after some epochs.

        A cluster keeps its number from epoch to epoch, by the nearest centroids.
    """

    kept = ("rows", "centroids")

    def __init__(self, *, clusters: bool = True) -> None:
        self.clusters = clusters
        self.rows: list[dict[str, float | str | None]] = []
        self.centroids: Tensor | None = None
        self.views: list[Tensor] = []

    def on_train_epoch_start(self, trainer: object, module: object) -> None:
        self.n_seen = 0

    def on_train_batch_end(self, trainer: Hooked, module: Hooked, *args: object) -> None:
        most = min(len(module.labels), _MOST_CELLS)
        if not self.views:  # one array for all batches: many small ones would fragment the memory
            self.views = [view.new_empty(most, *view.shape[1:]) for view in module.views]
        x1, *_ = module.views
        slots = torch.arange(self.n_seen, self.n_seen + len(x1), device=x1.device) % most
        for kept, view in zip(self.views, module.views, strict=True):
            kept[slots.to(kept.device)] = view
        self.n_seen += len(slots)

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        x1, x2, index = (kept[: self.n_seen] for kept in self.views)  # (N, P), (N, P), (N,)
        epoch = trainer.current_epoch
        gap = cosine_gap(*(normalize(x.float()).cpu().numpy() for x in (x1, x2)))
        self.add(epoch, "cosine_gap", gap)
        if not self.clusters:
            return
        found = estimate_shrinkage(x1, x2, module.labels[index], len(module.centroids))
        mean, order = self.follow(found.mean)
        for name in ("n", "sigma2", "tau2", "b"):
            self.add_each(epoch, name, getattr(found, name)[order])
        if self.centroids is not None:
            self.add_each(epoch, "movement", (mean - self.centroids).norm(dim=1))
        self.centroids = mean
        if epoch + 1 in (*_DISTANCES_AFTER, trainer.max_epochs):
            for cluster, row in enumerate(torch.cdist(mean, mean).tolist()):
                for other in range(cluster + 1, len(row)):
                    self.add(epoch, "distance", row[other], cluster, other)

    def follow(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Return centroids (K, P) in the order of the nearest ones before, and that order (K,)."""
        order = torch.arange(len(mean))
        if self.centroids is not None:
            order = torch.from_numpy(linear_sum_assignment(torch.cdist(self.centroids, mean))[1])
        return mean[order], order

    def add_each(self, epoch: int, quantity: str, values: Tensor) -> None:
        for cluster, value in enumerate(values.tolist()):
            self.add(epoch, quantity, value, cluster)

    def add(
        self,
        epoch: int,
        quantity: str,
        value: float,
        cluster: int | None = None,
        other: int | None = None,
    ) -> None:
        keys = ("epoch", "quantity", "cluster", "other", "value")
        self.rows.append(dict(zip(keys, (epoch, quantity, cluster, other, value), strict=True)))


@torch.no_grad()
def map_embedding(
    module: MomentumModule, data: CellDataModule, h: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return the embedding h (n, P) with each cell shrunk toward its cluster's centroid by b_k.

    These are the posterior means of a trained module, given the clusters `labels` (n,). b_k is
    estimated from two new views of at most 100,000 cells: see :mod:`jojoscl.networks.sure`.
    """
    module.generator = torch.Generator(module.device)
    module.generator.manual_seed(derived_seed(module.seed, module.max_epochs))
    module.eval()
    drawn = torch.from_numpy(at_most(np.arange(len(h)), _MOST_CELLS, seed=module.seed))
    batches = (data.cells.rows(index).to(module.device) for index in drawn.split(_BATCH))
    pairs = [module.two_views(x) for x in batches]
    a, b = (torch.cat([pair[name].cpu() for pair in pairs]) for name in ("a", "b"))
    clusters = torch.from_numpy(labels)
    found = estimate_shrinkage(a, b, clusters[drawn], int(labels.max()) + 1)
    return shrink_to_clusters(torch.from_numpy(h), clusters, found.b).numpy()
