"""Batches: cells by index and what comes with them, drawn by seed and epoch alone."""

import numpy as np
import torch

from jojoscl.cells.checks import as_cells
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.datamodule import Batches, CellDataModule

X = np.arange(40.0).reshape(20, 2).astype(np.float32)


def test_a_batch_holds_all_that_belongs_to_its_cells():
    data = CellDataModule(X, X[:, :1], batch_size=8)
    drawn = []
    for x, index, more in data.train_dataloader():
        np.testing.assert_array_equal(x, X[index])
        np.testing.assert_array_equal(more, X[index, :1])
        drawn += index.tolist()
    assert sorted(drawn) == list(range(20))


def test_batches_depend_on_seed_and_epoch_alone():
    def drawn(seed: int, epoch: int) -> list[int]:
        batches = Batches(20, 8, seed=seed)
        batches.set_epoch(epoch)
        return torch.cat(list(batches)).tolist()

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(0, 1)
    assert drawn(0, 0) != drawn(1, 0)


def test_z_scores_are_made_batch_by_batch():
    x = Preprocess()(as_cells(simulate(n_cells=20, n_genes=60, n_types=2, seed=1)))
    for z, index in CellDataModule(x, batch_size=8).train_dataloader():
        assert z.dtype == torch.float32
        np.testing.assert_array_equal(z, x.zscores()[index])


def test_batches_hold_every_cell_once_and_never_one_alone(subtests):
    for n_cells in [2, 15, 16, 17, 32, 33, 40]:
        with subtests.test(n_cells=n_cells):
            batches = Batches(n_cells, 16, seed=3)
            drawn = list(batches)
            assert sorted(torch.cat(drawn).tolist()) == list(range(n_cells))
            assert len(drawn) == len(batches)
            assert all(2 <= len(batch) <= 17 for batch in drawn)


def test_the_loader_draws_nothing_from_torchs_global_generator():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    data = CellDataModule(X, batch_size=8)
    list(data.train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)
