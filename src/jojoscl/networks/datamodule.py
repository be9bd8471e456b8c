"""Cells in memory or in a store, drawn in shuffled batches."""

from __future__ import annotations

from collections.abc import Container, Iterator

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from jojoscl.cells.store import SparseRows, Store
from jojoscl.networks.distributed import own_share, rank_and_world
from jojoscl.networks.module import SeededModule
from jojoscl.utils.devices import sent

Rows = Tensor | SparseRows
Loader = DataLoader[tuple[Rows, ...]]


class Cells(Dataset[tuple[Rows, ...]]):
    """Preprocessed cells (n, genes): an index (B,) gives cells (B, genes), the index, and B rows of each of `more`."""

    def __init__(self, x: np.ndarray | Store, *more: np.ndarray) -> None:
        self.x = x if isinstance(x, Store) else _tensor(x)
        self.more = [_tensor(a) for a in more]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> tuple[Rows, ...]:
        return self.rows(index), index, *(a[index] for a in self.more)

    def rows(self, index: Tensor) -> Rows:
        """Return the cells alone, of an index on the CPU, where the cells are."""
        return (
            self.x.rows(index) if isinstance(self.x, Store) else self.x[sent(index, self.x.device)]
        )


def _tensor(a: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))


def dense(rows: Rows) -> Tensor:
    """Return cells (B, genes), once they are on the device; other parts of a batch as they are."""
    return rows.dense() if isinstance(rows, SparseRows) else rows


class Batches(Sampler[Tensor]):
    """Indices (B,) of `batch_size` cells. Shuffled by (seed, epoch) alone, so a resumed run draws the same batches.

    Of several processes each gets its share of every shuffled batch. A last batch that leaves one
    of them fewer than two cells joins the batch before: BatchNorm cannot normalise it.
    """

    def __init__(self, n_cells: int, batch_size: int, *, seed: int | None) -> None:
        self.n_cells, self.batch_size, self.seed, self.epoch = n_cells, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch; Lightning calls it at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        least = 2 * rank_and_world()[1]
        return max(1, self.n_cells // self.batch_size + (self.n_cells % self.batch_size >= least))

    def __iter__(self) -> Iterator[Tensor]:
        order = np.arange(self.n_cells)
        if self.seed is not None:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n_cells)
        stops = [self.batch_size * (i + 1) for i in range(len(self) - 1)]
        batches = torch.from_numpy(order).tensor_split(stops)
        yield from batches if self.seed is None else map(own_share, batches)


class CellDataModule(L.LightningDataModule):
    """Batches of the cells of `x`, preprocessed values (n_cells, n_genes) as an array or a store; it holds no labels.

    Training batches are shuffled, prediction batches come in the order of the cells. `more` arrays
    with a row a cell, such as counts, follow the index in each batch.
    """

    def __init__(
        self, x: np.ndarray | Store, *more: np.ndarray, batch_size: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        self.cells, self.batch_size, self.seed = Cells(x, *more), batch_size, seed

    def train_dataloader(self) -> Loader:
        return self._loader(Batches(len(self.cells), self.batch_size, seed=self.seed))

    def predict_dataloader(self) -> Loader:
        return self._loader(Batches(len(self.cells), 4096, seed=None))

    def setup(self, stage: str) -> None:
        """Let a GPU with memory for them twice hold all cells, so that no batch has to travel; Lightning calls it."""
        device = self.trainer.strategy.root_device  # type: ignore[union-attr]
        if device.type == "cuda" and 2 * self.cells.x.nbytes < torch.cuda.mem_get_info(device)[0]:
            self.cells.x = self.cells.x.to(device)

    def on_after_batch_transfer(
        self, batch: tuple[Rows, ...], dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        return tuple(map(dense, batch))

    def gather(self, index: Tensor, device: torch.device) -> Tensor:
        """Return the cells (B, genes) of index (B,), on the device."""
        return dense(sent(self.cells.rows(index.cpu()), device))

    @torch.no_grad()
    def embed(
        self, module: SeededModule, only: Container[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return outputs of `module` for all cells in order: name -> (n_cells, d); all, or those named in `only`.

        A :class:`UserError` says that they are not finite.
        """
        training = module.training
        module.eval()
        outputs: dict[str, np.ndarray] = {}
        for x, index, *_ in self.predict_dataloader():
            for name, part in module(dense(sent(x, module.device))).items():
                if only is not None and name not in only:
                    continue
                if name not in outputs:  # filled in place: all cells are held once
                    outputs[name] = np.empty((len(self.cells), part.shape[1]), np.float32)
                module.check_finite(part)
                outputs[name][index] = part.cpu().numpy()
        module.train(training)
        return outputs

    def _loader(self, batches: Batches) -> Loader:
        # batch_size=None: a batch is one gather of rows, not a list of cells collated one by one.
        # Its own generator: a loader draws a number, used by workers alone, from torch's global
        # one.
        return DataLoader(self.cells, sampler=batches, batch_size=None, generator=torch.Generator())
