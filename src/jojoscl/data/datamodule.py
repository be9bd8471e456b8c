"""Cells in memory, drawn in shuffled batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from jojoscl.distributed import own_share, rank_and_world


class Cells(Dataset[tuple[Tensor, ...]]):
    """Preprocessed cells (n, genes); an index (B,) gives (cells (B, genes), the index, B rows of each of `more`)."""

    def __init__(self, x: np.ndarray, *more: np.ndarray) -> None:
        self.x, *self.more = (torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)) for a in (x, *more))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, ...]:
        return self.x[index], index, *(a[index] for a in self.more)


class Batches(Sampler[Tensor]):
    """Index tensors of `batch_size` cells. Shuffled by (seed, epoch) alone, so a resumed run draws the same batches.

    Of several processes each gets its share of every shuffled batch. A last batch that leaves one of them fewer than
    two cells joins the batch before: BatchNorm cannot normalise it.
    """

    def __init__(self, n_cells: int, batch_size: int, *, seed: int | None) -> None:
        self.n_cells, self.batch_size, self.seed, self.epoch = n_cells, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        least = 2 * rank_and_world()[1]
        return max(1, self.n_cells // self.batch_size + (self.n_cells % self.batch_size >= least))

    def __iter__(self) -> Iterator[Tensor]:
        if self.seed is None:
            order = torch.arange(self.n_cells)
        else:
            rng = np.random.default_rng((self.seed, self.epoch))
            order = torch.from_numpy(rng.permutation(self.n_cells))
        stops = [self.batch_size * (i + 1) for i in range(len(self) - 1)]
        batches = order.tensor_split(stops)
        yield from batches if self.seed is None else map(own_share, batches)


class CellDataModule(L.LightningDataModule):
    """Batches of the cells of `x`, an array (n_cells, n_genes) of preprocessed values; it holds no labels.

    Training batches are shuffled, prediction batches come in the order of the cells. `more` arrays with a row a cell,
    such as counts, follow the index in each batch.
    """

    def __init__(self, x: np.ndarray, *more: np.ndarray, batch_size: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.cells, self.batch_size, self.seed = Cells(x, *more), batch_size, seed

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(Batches(len(self.cells), self.batch_size, seed=self.seed))

    def predict_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(Batches(len(self.cells), 4096, seed=None))

    @torch.no_grad()
    def embed(
        self, module: L.LightningModule, forward: Callable[[Tensor], dict[str, Tensor]] | None = None
    ) -> dict[str, np.ndarray]:
        """All outputs of `module`, or of another `forward` of it, for all cells in order: name -> (n_cells, d)."""
        training, forward = module.training, forward or module
        module.eval()
        parts = [forward(x.to(module.device)) for x, *_ in self.predict_dataloader()]
        module.train(training)
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}

    def _loader(self, batches: Batches) -> DataLoader[tuple[Tensor, ...]]:
        # batch_size=None: a batch is one gather of rows, not a list of cells collated one by one.
        return DataLoader(self.cells, sampler=batches, batch_size=None)
