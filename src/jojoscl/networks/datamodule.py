"""Cells drawn in shuffled batches."""

from collections.abc import Callable, Iterator

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from jojoscl.cells.expression import Expression
from jojoscl.networks.module import SeededModule, rank_and_world

_EMBEDDED = 4096  # cells that are embedded at a time
Outputs = Callable[[Tensor], dict[str, Tensor]]


class Batches(Sampler[Tensor]):
    """Indices (B,) of `batch_size` cells, shuffled by (seed, epoch).

    A resumed run draws the same batches. Of several processes each gets an equal share of every
    batch; the last B modulo their number are left out. A last batch that leaves a process fewer
    than two cells joins the batch before: BatchNorm cannot normalise it.
    """

    def __init__(self, n_cells: int, batch_size: int, *, seed: int) -> None:
        self.n_cells, self.batch_size, self.seed, self.epoch = n_cells, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch; Lightning calls it at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        least = 2 * rank_and_world()[1]
        return max(1, self.n_cells // self.batch_size + (self.n_cells % self.batch_size >= least))

    def __iter__(self) -> Iterator[Tensor]:
        rank, world = rank_and_world()
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n_cells)
        stops = [self.batch_size * (i + 1) for i in range(len(self) - 1)]
        for batch in torch.from_numpy(order).tensor_split(stops):
            yield batch[: len(batch) // world * world].chunk(world)[rank]


class CellDataModule(L.LightningDataModule, Dataset[tuple[Tensor, ...]]):
    """Preprocessed cells (n, g), drawn in batches for training, or embedded in their order.

    An index (B,) gives cells (B, G), the index, and B rows of `more`.

    Parameters
    ----------
    x
        Z-scores are made batch by batch from an :class:`~jojoscl.cells.expression.Expression`.
    more
        Arrays with a row per cell, such as counts: they follow the cells' index in each batch.
    batch_size
        Cells in a batch, of all devices together.
    seed
        Shuffles the cells.
    """

    def __init__(
        self, x: np.ndarray | Expression, *more: np.ndarray, batch_size: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        self.x, self.more, self.batch_size, self.seed = x, more, batch_size, seed

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, ...]:
        rows = index.numpy()
        x = self.x.zscores(rows) if isinstance(self.x, Expression) else self.x[rows]
        return torch.from_numpy(x), index, *(torch.from_numpy(a[rows]) for a in self.more)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        batches = Batches(len(self), self.batch_size, seed=self.seed)
        # batch_size=None: a batch is one gather of rows, not a list of cells collated one by one.
        # generator: a loader draws a number for its workers; not from torch's global generator.
        # pin_memory: copies to a GPU need not wait for it.
        gpu, own = torch.cuda.is_available(), torch.Generator()
        return DataLoader(self, sampler=batches, batch_size=None, generator=own, pin_memory=gpu)

    @torch.no_grad()
    def embed(self, module: SeededModule, part: Outputs | None = None) -> dict[str, np.ndarray]:
        """Return the outputs of `module` for all cells in their order: name -> (n, d).

        `part` gives those of some cells (B, G), in place of `module` itself.
        A :class:`UserError` says that values are not finite.
        """
        training = module.training
        module.eval()
        parts = []
        for index in torch.arange(len(self)).split(_EMBEDDED):
            outputs = (part or module)(self[index][0].to(module.device))
            parts.append({name: y.cpu() for name, y in outputs.items()})
        module.train(training)
        outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        for y in outputs.values():
            module.check_finite(y)
        return {name: y.numpy() for name, y in outputs.items()}
