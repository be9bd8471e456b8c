"""Batches: cells by index, what comes with them, and neighbors drawn by seed and epoch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jojoscl.data import simulate
from jojoscl.data.preprocess import Preprocess, stored
from jojoscl.training.datamodule import Batches, CellDataModule

X = np.arange(40.0).reshape(20, 2).astype(np.float32)
NEIGHBORS = (np.arange(20)[:, None] + [1, 2, 3]) % 20


@pytest.mark.parametrize("n_drawn", [1, 2])
def test_neighbors_come_with_the_batch(n_drawn: int) -> None:
    data = CellDataModule(X, X[:, :1], batch_size=8, neighbors=NEIGHBORS, n_drawn=n_drawn)
    drawn = np.zeros((20, 3), int)
    for epoch in range(30):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for x, index, more, *near in loader:
            np.testing.assert_array_equal(x, X[index])
            np.testing.assert_array_equal(more, X[index, :1])
            assert len(near) == n_drawn
            for cells in near:
                which = (cells[:, 0] / 2 - index).numpy() % 20
                assert set(which) <= {1, 2, 3}
                np.add.at(drawn, (index.numpy(), which.astype(int) - 1), 1)
    assert drawn.sum() == 30 * 20 * n_drawn
    assert (drawn > 0).all(), "each neighbor has its turn"


def test_neighbors_depend_on_seed_and_epoch_alone() -> None:
    def drawn(seed: int, epoch: int) -> np.ndarray:
        batches = Batches(20, 8, seed=seed, neighbors=NEIGHBORS)
        batches.set_epoch(epoch)
        return torch.cat(list(batches)).numpy()

    np.testing.assert_array_equal(drawn(0, 0), drawn(0, 0))
    assert (drawn(0, 0) != drawn(0, 1)).any()
    assert (drawn(0, 0) != drawn(1, 0)).any()
    plain = Batches(20, 8, seed=0)
    np.testing.assert_array_equal(torch.cat(list(plain)), drawn(0, 0)[:, 0]), "with neighbors the cells are the same"


def test_neighbors_of_a_store_are_made_dense(tmp_path: Path) -> None:
    cells = simulate(n_cells=20, n_genes=60, n_types=2, seed=1)
    cells.uns["kind"] = "counts"
    store = stored(Preprocess(), cells, tmp_path)
    data = CellDataModule(store, batch_size=8, neighbors=NEIGHBORS)
    for batch in data.train_dataloader():
        x, index, near = data.on_after_batch_transfer(batch, 0)
        np.testing.assert_array_equal(x, store[index.numpy()])
        assert near.shape == x.shape


def test_no_loader_draws_from_torchs_global_generator() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    data = CellDataModule(X, batch_size=8)
    for loader in (data.train_dataloader(), data.predict_dataloader()):
        list(loader)
    assert torch.equal(torch.get_rng_state(), before)
    assert data.n_batches == 3
