"""Cells in memory or in a store, drawn in shuffled batches, each with neighbors if that is wanted."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from jojoscl.data.store import SparseRows, Store
from jojoscl.training.distributed import own_share, rank_and_world
from jojoscl.training.module import SeededModule
from jojoscl.utils.devices import sent


class Cells(Dataset[tuple[Tensor | SparseRows, ...]]):
    """Preprocessed cells (n, genes); an index (B,) gives (cells (B, genes), the index, B rows of each of `more`).

    An index (B, 1 + m) names m other cells with each cell: they follow, (B, genes) each. Cells of a store are sparse.
    """

    def __init__(self, x: np.ndarray | Store, *more: np.ndarray) -> None:
        self.x = x if isinstance(x, Store) else _tensor(x)
        self.more = [_tensor(a) for a in more]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> tuple[Tensor | SparseRows, ...]:
        cells, *others = index.view(len(index), -1).unbind(1)
        return self.rows(cells), cells, *(a[cells] for a in self.more), *map(self.rows, others)

    def rows(self, index: Tensor) -> Tensor | SparseRows:
        """The cells alone, of an index on the CPU, where the cells are."""
        return self.x.rows(index) if isinstance(self.x, Store) else self.x[sent(index, self.x.device)]


def _tensor(a: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))


def dense(rows: Tensor | SparseRows) -> Tensor:
    """Return cells (B, genes), once they are on the device; other parts of a batch as they are."""
    return rows.dense() if isinstance(rows, SparseRows) else rows


class Batches(Sampler[Tensor]):
    """Indices (B,) of `batch_size` cells. Shuffled by (seed, epoch) alone, so a resumed run draws the same batches.

    Of `neighbors` (n_cells, k) each epoch draws `n_drawn` for each cell: an index is then (B, 1 + n_drawn).
    Of several processes each gets its share of every shuffled batch. A last batch that leaves one of them fewer than
    two cells joins the batch before: BatchNorm cannot normalise it.
    """

    def __init__(
        self,
        n_cells: int,
        batch_size: int,
        *,
        seed: int | None,
        neighbors: np.ndarray | None = None,
        n_drawn: int = 1,
    ) -> None:
        self.n_cells, self.batch_size, self.seed, self.epoch = n_cells, batch_size, seed, 0
        self.neighbors, self.n_drawn = neighbors, n_drawn

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        least = 2 * rank_and_world()[1]
        return max(1, self.n_cells // self.batch_size + (self.n_cells % self.batch_size >= least))

    def __iter__(self) -> Iterator[Tensor]:
        order = np.arange(self.n_cells) if self.seed is None else self._drawn(self.seed)
        stops = [self.batch_size * (i + 1) for i in range(len(self) - 1)]
        batches = torch.from_numpy(order).tensor_split(stops)
        yield from batches if self.seed is None else map(own_share, batches)

    def _drawn(self, seed: int) -> np.ndarray:
        """All cells in random order (n_cells,), and (n_cells, 1 + n_drawn) with neighbors."""
        rng = np.random.default_rng((seed, self.epoch))
        order = rng.permutation(self.n_cells)
        if self.neighbors is None:
            return order
        choice = rng.integers(self.neighbors.shape[1], size=(self.n_cells, self.n_drawn))
        return np.column_stack([order, self.neighbors[order[:, None], choice]])


class CellDataModule(L.LightningDataModule):
    """Batches of the cells of `x`, preprocessed values (n_cells, n_genes) as an array or a store; it holds no labels.

    Training batches are shuffled, prediction batches come in the order of the cells. `more` arrays with a row a cell,
    such as counts, follow the index in each batch; in training also `n_drawn` random ones of the `neighbors`
    (n_cells, k) of each cell, as cells (B, n_genes) each.
    """

    def __init__(
        self,
        x: np.ndarray | Store,
        *more: np.ndarray,
        batch_size: int = 256,
        seed: int = 0,
        neighbors: np.ndarray | None = None,
        n_drawn: int = 1,
    ) -> None:
        super().__init__()
        self.cells, self.batch_size, self.seed = Cells(x, *more), batch_size, seed
        self.neighbors, self.n_drawn = neighbors, n_drawn

    @property
    def n_batches(self) -> int:
        """Number of batches in an epoch."""
        return len(Batches(len(self.cells), self.batch_size, seed=self.seed))

    def train_dataloader(self) -> DataLoader[tuple[Tensor | SparseRows, ...]]:
        n_cells, near = len(self.cells), self.neighbors
        return self._loader(Batches(n_cells, self.batch_size, seed=self.seed, neighbors=near, n_drawn=self.n_drawn))

    def predict_dataloader(self) -> DataLoader[tuple[Tensor | SparseRows, ...]]:
        return self._loader(Batches(len(self.cells), 4096, seed=None))

    def setup(self, stage: str) -> None:
        """Called by Lightning: a GPU with memory for them twice holds all cells, and no batch has to travel."""
        device = self.trainer.strategy.root_device  # type: ignore[union-attr]
        if device.type == "cuda" and 2 * self.cells.x.nbytes < torch.cuda.mem_get_info(device)[0]:
            self.cells.x = self.cells.x.to(device)

    def on_after_batch_transfer(self, batch: tuple[Tensor | SparseRows, ...], dataloader_idx: int) -> tuple[Any, ...]:
        return tuple(map(dense, batch))

    def gather(self, index: Tensor, device: torch.device) -> Tensor:
        """The cells (B, genes) of index (B,), on the device."""
        return dense(sent(self.cells.rows(index.cpu()), device))

    @torch.no_grad()
    def embed(self, module: SeededModule, only: Container[str] | None = None) -> dict[str, np.ndarray]:
        """Return outputs of `module` for all cells in order: name -> (n_cells, d); all, or those named in `only`.

        Raises
        ------
        UserError
            They are not finite.
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

    def _loader(self, batches: Batches) -> DataLoader[tuple[Tensor | SparseRows, ...]]:
        # batch_size=None: a batch is one gather of rows, not a list of cells collated one by one.
        # Its own generator: a loader draws a number, used by workers alone, from torch's global one.
        return DataLoader(self.cells, sampler=batches, batch_size=None, generator=torch.Generator())
