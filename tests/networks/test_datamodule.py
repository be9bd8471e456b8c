"""Batches: cells by index and what comes with them, drawn by seed and epoch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from jojoscl.cells.preprocess import Preprocess, stored
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.datamodule import Batches, CellDataModule

X = np.arange(40.0).reshape(20, 2).astype(np.float32)


def test_what_belongs_to_a_cell_comes_with_it() -> None:
    data = CellDataModule(X, X[:, :1], batch_size=8)
    drawn = []
    for x, index, more in data.train_dataloader():
        np.testing.assert_array_equal(x, X[index])
        np.testing.assert_array_equal(more, X[index, :1])
        drawn += index.tolist()
    assert sorted(drawn) == list(range(20))


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    def drawn(seed: int, epoch: int) -> list[int]:
        batches = Batches(20, 8, seed=seed)
        batches.set_epoch(epoch)
        return torch.cat(list(batches)).tolist()

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(0, 1)
    assert drawn(0, 0) != drawn(1, 0)


def test_cells_of_a_store_are_made_dense(tmp_path: Path) -> None:
    store = stored(Preprocess(), simulate(n_cells=20, n_genes=60, n_types=2, seed=1), tmp_path)
    data = CellDataModule(store, batch_size=8)
    for batch in data.train_dataloader():
        x, index = data.on_after_batch_transfer(batch, 0)
        np.testing.assert_array_equal(x, store[index.numpy()])


def test_no_loader_draws_from_torchs_global_generator() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    data = CellDataModule(X, batch_size=8)
    for loader in (data.train_dataloader(), data.predict_dataloader()):
        list(loader)
    assert torch.equal(torch.get_rng_state(), before)
