"""The paper's method and the released code's: settings, what a step moves, that all trains."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from jojoscl.cells.checks import without_labels
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper import PaperJojoSCL, PaperModule, ReleasedJojoSCL
from jojoscl.networks.settings import Run, TrainerSettings

WIDTHS = {"encoder_dims": [16, 8], "instance_dims": [8, 8], "cluster_dims": [8]}
SMALL: dict[str, Any] = WIDTHS | {"batch_size": 16, "mask_rate": 0.3}
QUIET = Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False))
QUICK = dataclasses.replace(QUIET, trainer=dataclasses.replace(QUIET.trainer, max_epochs=2))


def build(
    n_cells: int = 40, epochs: int = 2, **settings: Any
) -> tuple[PaperModule, CellDataModule]:
    method = PaperJojoSCL(**(SMALL | settings))
    x = np.random.default_rng(0).normal(size=(n_cells, 12)).astype(np.float32)
    data = CellDataModule(x, batch_size=method.batch_size, seed=0)
    size = {"n_genes": 12, "n_clusters": 3, "n_cells": n_cells}
    return PaperModule(method, **size, seed=0, max_epochs=epochs), data


def test_epochs_are_the_methods_or_the_runs(cells):
    method = PaperJojoSCL(encoder_dims=[16, 8], instance_dims=[8], cluster_dims=[8], epochs=3)
    one = method.fit_predict(cells, 3, run=QUICK)
    assert one.info["epochs"] == len(one.history) == 2
    other = method.fit_predict(cells, 3, run=QUIET)
    assert other.info["epochs"] == len(other.history) == 3
    assert one.embedding.shape == (120, 8)
    assert one.obsm["map"].shape == (120, 8)


def test_only_the_oracle_chooses_an_epoch(cells):
    method = PaperJojoSCL(encoder_dims=[16, 8], instance_dims=[8], cluster_dims=[8])
    scores = iter([0.9, 0.1])
    result = method.fit_predict(
        cells, 3, run=QUICK, oracle=lambda labels: {"ari": next(scores), "nmi": 0.0}
    )
    assert result.info["selected_epoch"] == 0
    assert result.last_labels is not None
    assert method.fit_predict(cells, 3, run=QUICK).last_labels is None


def test_every_setting_trains_to_finite_losses_and_moves_the_weights(subtests):
    for settings in [
        *({"sure": sure} for sure in ("none", "released", "centroid", "two_view")),
        *({"sure": sure, "temporal_labels": "batch"} for sure in ("centroid", "two_view")),
        {"entropy": "released", "cluster_similarity": "dot"},
        {"assign_on": "z"},
    ]:
        with subtests.test(settings=settings):
            module, data = build(**settings)
            before = [p.detach().clone() for p in module.query.parameters()]
            history = fit(module, data, QUIET, max_epochs=2)
            assert len(history.rows) == 2
            assert np.isfinite([list(row.values()) for row in history.rows]).all()
            assert not all(map(torch.equal, before, module.query.parameters()))
            shapes = {name: x.shape for name, x in data.embed(module).items()}
            assert shapes == {"h": (40, 8), "z": (40, 8), "cluster_head": (40, 3)}


@pytest.mark.parametrize("method", [PaperJojoSCL, ReleasedJojoSCL])
def test_bfloat16_trains_with_losses_in_float32(method):
    cells = without_labels(simulate(n_cells=90, n_genes=200, n_types=3, seed=1))
    first = {}
    for precision in ("32-true", "bf16-mixed"):
        how = dataclasses.replace(QUIET.trainer, max_epochs=1, precision=precision)
        result = method().fit_predict(cells, 3, run=Run(trainer=how))
        assert set(result.labels) == {0, 1, 2}
        assert result.embedding.dtype == np.float32
        first[precision] = result.history[0]
    for name, value in first["32-true"].items():
        assert first["bf16-mixed"][name] == pytest.approx(value, rel=0.02, abs=0.002)
    assert first["bf16-mixed"]["instance"] * 2**10 % 1, "a number that bfloat16 does not have"


def test_any_number_of_cells_trains(subtests):
    for n_cells in [2, 3, 15, 16, 17, 33]:
        with subtests.test(n_cells=n_cells):
            module, data = build(n_cells, temporal_labels="batch")
            history = fit(module, data, QUIET, max_epochs=1)
            assert np.isfinite(history.rows[0]["loss"])


class KeyRecorder(Callback):
    """Key and query after every batch."""

    def __init__(self) -> None:
        self.steps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def on_train_batch_start(self, trainer: Trainer, module: Any, *args: Any) -> None:
        self.steps.append((module.key[0].weight.clone(), module.query[0].weight.detach().clone()))


@pytest.mark.filterwarnings("ignore:.*(many workers|LeafSpec)")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_key_follows_the_query_once_per_optimiser_step(accumulate):
    module, data = build(n_cells=64, momentum=0.75, sure="none")
    recorder = KeyRecorder()
    start = module.key[0].weight.clone()
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=accumulate, callbacks=[recorder], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(module, data)
    assert trainer.global_step == 4 // accumulate
    keys = [key for key, _ in recorder.steps] + [module.key[0].weight]
    queries = [query for _, query in recorder.steps] + [module.query[0].weight.detach()]
    expected = start
    for i in range(4):
        if (i + 1) % accumulate == 0:
            expected = 0.75 * expected + 0.25 * queries[i + 1]
        torch.testing.assert_close(keys[i + 1], expected)
    assert module.key[1].num_batches_tracked == 4, "its statistics are its own"


def test_no_gradient_reaches_the_key():
    module, data = build(sure="none")
    fit(module, data, QUIET, max_epochs=1)
    assert all(p.grad is None for p in module.key.parameters())
    (group,) = module.configure_optimizers()[0][0].param_groups
    key, trained = set(module.key.parameters()), set(module.parameters())
    assert set(group["params"]) == trained - key


def test_temporal_clusters_are_those_of_the_epoch():
    module, data = build(epochs=1)
    assert not module.centroids.any()
    fit(module, data, QUIET, max_epochs=1)
    assert sorted(set(module.labels.tolist())) == [0, 1, 2]
    assert (module.centroids.norm(dim=1) > 0).all()


def test_outputs_have_length_one_or_sum_to_one():
    module, _ = build()
    found = module(torch.randn(10, 12))
    for name in ("h", "z"):
        torch.testing.assert_close(found[name].norm(dim=1), torch.ones(10))
    torch.testing.assert_close(found["cluster_head"].sum(1), torch.ones(10))


def test_released_sure_changes_nothing_but_the_log():
    trained = []
    for sure in ("none", "released"):
        module, data = build(sure=sure)
        fit(module, data, QUIET, max_epochs=2)
        trained.append(data.embed(module)["h"])
    np.testing.assert_array_equal(*trained)


def test_sccl_is_jojoscl_without_sure(method):
    model = method("sccl")
    assert (model.sure, model.name, model.assign_on) == ("none", "sccl", "z")
    assert (model.cluster_similarity, model.entropy) == ("dot", "released")
    net = PaperModule(model, n_genes=50, n_clusters=4, n_cells=100, seed=0, max_epochs=2)
    parts = net.query, net.cluster_head, net.instance_head
    widths = [[x.out_features for x in part if isinstance(x, nn.Linear)] for part in parts]
    assert widths == [[200, 40, 60], [40, 4], [100, 100]]
