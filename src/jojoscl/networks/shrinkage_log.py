"""What shrinkage does while networks train, and to the embedding in the end."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from jojoscl.core.metrics import cosine_gap
from jojoscl.networks.callbacks import Kept
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.settings import Hooked
from jojoscl.networks.sure import estimate_shrinkage, shrink_to_clusters
from jojoscl.utils.seeding import derived_seed

_BATCH = 4096  # cells
_OF_CLUSTERS = "n", "sigma2", "tau2", "b"
_KEYS = ("epoch", "quantity", "cluster", "other", "value")


class ShrinkageRecord(Kept):
    """A tidy record of each epoch, from the views that were trained on: nothing is drawn again.

    It is saved in the checkpoint, like :class:`~jojoscl.networks.callbacks.History`.

    Attributes
    ----------
    rows
        With the keys epoch, quantity, cluster, other and value. The quantities are

        - cosine_gap: mean cosine of the two views of a cell minus that of views of different cells,
        - n, sigma2, tau2, b of each temporal cluster,
        - movement: how far its centroid moved since the epoch before,
        - distance between two centroids, after the last epoch.

        A cluster keeps its number from epoch to epoch, by the nearest centroids.
    """

    kept = ("rows", "centroids")

    def __init__(self) -> None:
        self.rows: list[dict[str, float | str | None]] = []
        self.centroids: Tensor | None = None

    def on_train_epoch_start(self, trainer: object, module: Hooked) -> None:
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_train_batch_end(self, trainer: object, module: Hooked, *args: object) -> None:
        self.batches.append(module.views)

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        kept = zip(*self.batches, strict=True)
        x1, x2, index = (torch.cat(x).cpu() for x in kept)  # (N, P), (N, P), (N,)
        self.batches.clear()
        gap = cosine_gap(*(normalize(x.float()).numpy() for x in (x1, x2)))
        found: dict[tuple[str, int | None, int | None], float] = {("cosine_gap", None, None): gap}
        if module.epoch_clusters:
            k = len(module.centroids)
            shrunk = estimate_shrinkage(x1.double(), x2.double(), module.labels.cpu()[index], k)
            mean, before, order = shrunk.mean.float(), self.centroids, torch.arange(k)
            if before is not None:
                order = torch.from_numpy(linear_sum_assignment(torch.cdist(before, mean))[1])
            mean = self.centroids = mean[order]
            of_clusters = {name: getattr(shrunk, name)[order].float() for name in _OF_CLUSTERS}
            if before is not None:
                of_clusters["movement"] = (mean - before).norm(dim=1)
            for name, values in of_clusters.items():
                found |= {(name, i, None): value for i, value in enumerate(values.tolist())}
            if trainer.current_epoch + 1 == trainer.max_epochs:
                far, pairs = torch.cdist(mean, mean).tolist(), combinations(range(k), 2)
                found |= {("distance", i, other): far[i][other] for i, other in pairs}
        rows = ((trainer.current_epoch, *key, value) for key, value in found.items())
        self.rows += [dict(zip(_KEYS, row, strict=True)) for row in rows]


@torch.no_grad()
def map_embedding(
    module: Hooked, data: CellDataModule, h: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return the embedding h (n, P) with each cell shrunk toward its cluster's centroid by b_k.

    These are the posterior means of a trained module, given the clusters `labels` (n,). b_k is
    estimated from two new views of the cells: see :mod:`jojoscl.networks.sure`.
    """
    seed = derived_seed(module.seed, module.max_epochs)
    module.generator = torch.Generator(module.device).manual_seed(seed)
    module.eval()
    cells = torch.arange(len(h)).split(_BATCH)
    pairs = [module.two_views(data[i][0].to(module.device)) for i in cells]
    views = ([pair[i][module.clusters_on] for pair in pairs] for i in (0, 1))
    a, b = (torch.cat(view).cpu().double() for view in views)
    clusters = torch.from_numpy(labels)
    found = estimate_shrinkage(a, b, clusters, int(labels.max()) + 1)
    return shrink_to_clusters(torch.from_numpy(h), clusters, found.b).numpy()
