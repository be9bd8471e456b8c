"""The record of shrinkage against values worked out apart; it changes nothing and can resume."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

import jojoscl
from jojoscl.core.interface import Result
from jojoscl.networks.paper import PaperJojoSCL
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.networks.shrinkage_log import ShrinkageRecord
from jojoscl.networks.sure import shrink_to_clusters

PAPER: dict[str, Any] = {"encoder_dims": [16, 8], "instance_dims": [8], "batch_size": 32}


def fitted(cells: AnnData, folder: Path | None = None, **settings: Any) -> Result:
    how = TrainerSettings(accelerator="cpu", progress_bar=False, checkpoint_seconds=0)
    method = PaperJojoSCL(**(PAPER | {"epochs": 4} | settings))
    return method.fit_predict(cells, 3, run=Run(folder, trainer=how))


# ---- the record ----------------------------------------------------------------------------------


class Trainer:
    """As much of Lightning's trainer as a record looks at."""

    max_epochs = 2
    current_epoch = 0


class Module:
    """Four cells in two clusters."""

    epoch_clusters = True
    settings = SimpleNamespace(batch_size=4)
    centroids = torch.zeros(2, 2)
    labels = torch.tensor([0, 0, 1, 1])
    x1 = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 5.0], [0.0, 7.0]])
    x2 = x1 + torch.tensor([[0.0, 1.0], [0.0, -1.0], [0.0, 0.0], [0.0, 0.0]])

    @property
    def views(self) -> tuple[torch.Tensor, ...]:
        return self.x1, self.x2, torch.arange(4)


def test_the_record_by_hand() -> None:
    """Between two epochs the cells move by (3, 4) / 5 and the clusters swap their numbers."""
    record, trainer, module = ShrinkageRecord(), Trainer(), Module()
    for epoch in range(2):
        trainer.current_epoch = epoch
        record.on_train_epoch_start(trainer, module)
        record.on_train_batch_end(trainer, module)
        record.on_train_epoch_end(trainer, module)
        module.labels = 1 - module.labels
        module.x1, module.x2 = (x + torch.tensor([0.6, 0.8]) for x in (module.x1, module.x2))
    rows = pd.DataFrame(record.rows).set_index(["quantity", "epoch", "cluster"])
    table = rows["value"].sort_index()
    x1, x2 = (x / x.norm(dim=1, keepdim=True).clamp(min=1e-12) for x in (Module.x1, Module.x2))
    cosines = (x1 @ x2.T).numpy()
    gap = np.diag(cosines).mean() - cosines[~np.eye(4, dtype=bool)].mean()
    assert table["cosine_gap", 0].item() == pytest.approx(gap, rel=1e-5)
    for epoch in (0, 1):
        # Cluster 0: SS = 2 in P = 2 dimensions, so sigma2 + tau2 = 1; its views are 1 apart, so
        # sigma2 = 1 / 4.
        assert table["n", epoch].tolist() == [2, 2]
        assert table["sigma2", epoch].tolist() == pytest.approx([0.25, 0])
        assert table["tau2", epoch].tolist() == pytest.approx([0.75, 1])
        assert table["b", epoch].tolist() == pytest.approx([0.25, 0])
    assert table["movement"].index.get_level_values("epoch").unique().tolist() == [1]
    assert table["movement", 1].tolist() == pytest.approx([1, 1])
    # of (1, 0) and (0, 6), which move alike
    assert table["distance"].to_dict() == {(1, 0): pytest.approx(np.hypot(1, 6))}


def test_a_fit_is_recorded_and_the_record_changes_nothing(
    bare: AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = fitted(bare)
    table = pd.DataFrame(watched.shrinkage)
    assert list(table) == ["epoch", "quantity", "cluster", "other", "value"]
    assert (table.query("quantity == 'n'").groupby("epoch")["value"].sum() == [120] * 4).all()
    assert table.query("quantity == 'b'")["value"].between(0, 1).all()
    with monkeypatch.context() as patched:
        for hook in ("on_train_batch_end", "on_train_epoch_end"):
            patched.setattr(ShrinkageRecord, hook, lambda *_: None)
        alone = fitted(bare)
    assert not alone.shrinkage
    np.testing.assert_array_equal(watched.labels, alone.labels)
    np.testing.assert_array_equal(watched.embedding, alone.embedding)
    assert watched.history == alone.history


def test_without_temporal_clusters_the_gap_alone_is_recorded(bare: AnnData) -> None:
    assert {row["quantity"] for row in fitted(bare, sure="none").shrinkage} == {"cosine_gap"}


class Killed(Exception):
    pass


def test_a_resumed_fit_and_its_record_are_unbroken(
    bare: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, epoch_start = fitted(bare), ShrinkageRecord.on_train_epoch_start

    def dying(record: ShrinkageRecord, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise Killed
        epoch_start(record, trainer, module)

    with monkeypatch.context() as patched:
        patched.setattr(ShrinkageRecord, "on_train_epoch_start", dying)
        with pytest.raises(Killed):
            fitted(bare, tmp_path)
    L.seed_everything(99, verbose=False)
    for _ in ("resumed", "finished"):
        again = fitted(bare, tmp_path)
        assert again.shrinkage == whole.shrinkage
        np.testing.assert_array_equal(again.embedding, whole.embedding)
        np.testing.assert_array_equal(again.obsm["map"], whole.obsm["map"])


# ---- the posterior mean --------------------------------------------------------------------------


def test_cells_go_to_their_posterior_mean() -> None:
    h, labels, b = torch.randn(30, 4), torch.arange(30) % 3, torch.tensor([0.0, 0.3, 1.0])
    found = shrink_to_clusters(h, labels, b)
    for i in range(30):
        mu = h[labels == labels[i]].mean(0)
        torch.testing.assert_close(found[i], mu + (1 - b[labels[i]]) * (h[i] - mu))


def test_the_map_embedding_shrinks_each_cluster_by_one_factor(bare: AnnData) -> None:
    method = PaperJojoSCL(**PAPER, epochs=4)
    found = jojoscl.cluster(bare, 3, copy=True, accelerator="cpu", method=method)
    assert found is not None
    embedding, map_ = (found.obsm[key].astype(np.float64) for key in ("X_jojoscl", "X_jojoscl_map"))
    for k in found.obs["jojoscl"].unique():
        h, shrunk = (x[found.obs["jojoscl"] == k] for x in (embedding, map_))
        mu = h.mean(0)
        kept = ((shrunk - mu) * (h - mu)).sum() / np.square(h - mu).sum()  # 1 - b_k
        assert -1e-9 < kept < 1
        np.testing.assert_allclose(shrunk, mu + kept * (h - mu), atol=1e-4)
