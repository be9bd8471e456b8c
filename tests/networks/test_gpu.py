"""What only a GPU can show; skipped where there is none."""

from typing import Any

import lightning as L
import pytest
import torch
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper import PaperJojoSCL, PaperModule
from jojoscl.networks.settings import Run, TrainerSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return simulate(600, 200, 4, library_size=2000)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_gpu_finds_the_types_that_a_cpu_finds(cells, precision):
    method = PaperJojoSCL(epochs=20)
    found = []
    for accelerator, how in (("cpu", "32-true"), ("gpu", precision)):
        run = Run(
            trainer=TrainerSettings(accelerator=accelerator, precision=how, progress_bar=False)
        )
        found.append(method.fit_predict(cells, 4, run=run).labels)
    assert adjusted_rand_score(cells.obs["cell_type"], found[0]) > 0.9
    assert adjusted_rand_score(*found) > 0.9


class NoWaiting(L.Callback):
    """From the second epoch on, an error wherever a step makes the CPU wait for the GPU."""

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        last = trainer.is_last_batch  # whose losses are logged
        torch.cuda.set_sync_debug_mode(
            "error" if trainer.current_epoch > 0 and not last else "default"
        )

    def on_train_batch_end(self, *args: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


def test_no_step_waits_for_the_gpu(cells):
    method = PaperJojoSCL()
    x = method.preprocess(cells)
    module = PaperModule(
        method, n_genes=x.n_genes, n_clusters=4, n_cells=len(x), seed=0, max_epochs=3
    )
    run = Run(trainer=TrainerSettings(accelerator="gpu", progress_bar=False))
    data = CellDataModule(x, batch_size=128)
    try:
        history = fit(module, data, run, max_epochs=3, callbacks=[NoWaiting()])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(history.rows) == 3


def test_the_scanpy_call_takes_the_gpu(cells):
    clustered = jojoscl.cluster(cells, 4, copy=True, accelerator="gpu")
    assert clustered is not None
    assert adjusted_rand_score(cells.obs["cell_type"], clustered.obs["jojoscl"]) > 0.9
