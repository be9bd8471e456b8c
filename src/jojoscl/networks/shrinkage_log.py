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


class ShrinkageRecord(Kept):
    """A tidy record of each epoch, from the views it trained on: nothing is drawn or computed twice.

    Of an epoch of more than 100,000 cells the views of the last so many.

    `rows` have the keys epoch, quantity, cluster, other and value. Quantities: cosine_gap, between
    the two views of a cell and of different cells; where there are temporal clusters n, sigma2,
    tau2, b and movement of each (how far its centroid went since the epoch before) and, after some
    epochs, the distance between two centroids. A cluster's number follows its centroid. Kept in the
    checkpoint, as :class:`~jojoscl.networks.callbacks.History` is.
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
        if not self.views:  # one place for all: parts kept from each batch would leave holes in the memory around them
            self.views = [view.new_empty(most, *view.shape[1:]) for view in module.views]
        slots = (
            torch.arange(
                self.n_seen, self.n_seen + len(module.views[0]), device=module.views[0].device
            )
            % most
        )
        for kept, view in zip(self.views, module.views, strict=True):
            kept[slots.to(kept.device)] = view
        self.n_seen += len(slots)

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        x1, x2, index = (kept[: self.n_seen] for kept in self.views)
        epoch = trainer.current_epoch
        self.add(
            epoch, "cosine_gap", cosine_gap(*(normalize(x.float()).cpu().numpy() for x in (x1, x2)))
        )
        if not self.clusters:
            return
        found = estimate_shrinkage(x1, x2, module.labels[index], len(module.centroids))
        mean, order = self.follow(found.mean)
        for name in ("n", "sigma2", "tau2", "b"):
            self.add_each(epoch, name, getattr(found, name)[order])
        if self.centroids is not None:
            self.add_each(epoch, "movement", (mean - self.centroids).norm(dim=1))
        self.centroids = mean
        if trainer.current_epoch + 1 in (*_DISTANCES_AFTER, trainer.max_epochs):
            for cluster, row in enumerate(torch.cdist(mean, mean).tolist()):
                for other in range(cluster + 1, len(row)):
                    self.add(epoch, "distance", row[other], cluster, other)

    def follow(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Return centroids (K, P) in the order of the epoch before, nearest to nearest, and that order (K,)."""
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
        self.rows.append(
            {
                "epoch": epoch,
                "quantity": quantity,
                "cluster": cluster,
                "other": other,
                "value": value,
            }
        )


def map_embedding(
    module: MomentumModule, data: CellDataModule, h: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return h (n_cells, P) of a trained module at its posterior means given the clusters `labels` (n_cells,).

    b_k is that of two views of each cell, or of 100,000 of them, drawn anew from the module's seed:
    see `shrinkage`.
    """
    module.generator = torch.Generator(module.device)
    module.generator.manual_seed(derived_seed(module.seed, module.max_epochs))
    clusters = torch.from_numpy(labels)
    drawn = torch.from_numpy(at_most(np.arange(len(h)), _MOST_CELLS, seed=module.seed))
    module.eval()
    with torch.no_grad():
        pairs = [
            module.two_views(data.cells.rows(index).to(module.device))
            for index in drawn.split(4096)
        ]
    a, b = (torch.cat([pair[name].cpu() for pair in pairs]) for name in ("a", "b"))
    found = estimate_shrinkage(a, b, clusters[drawn], int(labels.max()) + 1)
    return shrink_to_clusters(torch.from_numpy(h), clusters, found.b).numpy()
