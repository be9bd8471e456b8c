"""What happens between epochs."""

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
from jojoscl.networks.callbacks import History, OracleSelection, Plateau, ShrinkageRecord
from jojoscl.networks.paper import PaperJojoSCL
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.networks.sure import shrink_to_clusters


def trainer(epoch: int, **more: Any) -> Any:
    return SimpleNamespace(current_epoch=epoch, **more)


def trained(history: History, *losses: dict[str, float]) -> History:
    """One epoch for each of `losses`."""
    history.on_fit_start(trainer(0), None)
    for row in losses:
        history.on_train_epoch_end(trainer(0, callback_metrics=row), None)
    return history


def test_a_history_goes_on_where_it_was():
    history = trained(History(Run()), {"loss": 1.0}, {"loss": 0.0})
    assert history.rows == [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.0}]
    written: list[tuple[float, int]] = []
    resumed = History(Run(logs=(lambda row, step: written.append((row["loss"], step)),)))
    resumed.load_state_dict(history.state_dict())
    assert resumed.rows == history.rows
    assert resumed.seconds == history.seconds > 0
    resumed.on_fit_start(trainer(2), None)
    assert written == [(1.0, 0), (0.0, 1)]
    trained(resumed, {"loss": -1.0})
    assert written[2:] == [(-1.0, 2)]


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")  # the second run's, as it begins
def test_each_row_is_in_the_file_at_once(tmp_path):
    for _ in range(2):
        history = History(Run(tmp_path))
        for epoch, row in enumerate(({"loss": 2.0}, {"loss": 1.0, "cluster": 0.5})):
            trained(history, row)
            table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
            assert len(table) == epoch + 1
            assert table.iloc[-1].to_dict() == {"epoch": epoch, "step": epoch, **row}


def test_the_oracle_keeps_the_first_of_the_best_epochs():
    scores = iter([0.1, 0.7, 0.7, 0.2])
    selection = OracleSelection(lambda labels: {"ari": next(scores), "nmi": 0.0})
    h, labels = np.eye(3, dtype=np.float32), np.arange(3)
    for epoch in range(4):
        module = SimpleNamespace(clusters_of=lambda data, epoch=epoch: (labels, h + epoch))
        selection.on_train_epoch_end(trainer(epoch, datamodule=None), module)
    assert selection.best["epoch"] == 1
    torch.testing.assert_close(selection.best["embedding"], torch.from_numpy(h + 1))
    assert selection.best["labels"].tolist() == [0, 1, 2]


def stops_after(losses: list[float], **settings: Any) -> int | None:
    """The number of epochs after which a Plateau ends a training with these losses."""
    plateau, trainer = Plateau(**settings), SimpleNamespace(should_stop=False, callback_metrics={})
    for epoch, loss in enumerate(losses, start=1):
        trainer.global_step = 10 * epoch
        trainer.callback_metrics["loss"] = loss
        plateau.on_train_epoch_end(trainer, None)
        if trainer.should_stop:
            return epoch
    return None


def test_plateau(subtests):
    for losses, gain, end in [
        ([3.0, 2.0, 2.1, 2.2], 0.0, 4),  # two epochs that are not below 2
        ([3.0, 2.0, 1.99, 1.98], 0.0, None),
        ([3.0, 2.0, 1.99, 1.98, 1.97], 0.02, 4),  # 1.98 is not yet 2 % below 2
        ([3.0, 2.0, 1.99, 1.95, 1.94, 1.93], 0.02, 6),  # 1.95 is
        ([-1.0, -1.01, -1.02], 0.05, 3),  # a log-likelihood above 0
        ([-1.0, -1.1, -1.2, -1.3], 0.05, None),
    ]:
        with subtests.test(losses=losses):
            assert stops_after(losses, patience=20, gain=gain) == end


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


def test_the_record_by_hand():
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


def test_a_fit_is_recorded_and_the_record_changes_nothing(bare, monkeypatch):
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


def test_without_temporal_clusters_the_gap_alone_is_recorded(bare):
    assert {row["quantity"] for row in fitted(bare, sure="none").shrinkage} == {"cosine_gap"}


class Killed(Exception):
    pass


def test_a_resumed_fit_and_its_record_are_unbroken(bare, tmp_path, monkeypatch):
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


def test_cells_go_to_their_posterior_mean():
    h, labels, b = torch.randn(30, 4), torch.arange(30) % 3, torch.tensor([0.0, 0.3, 1.0])
    found = shrink_to_clusters(h, labels, b)
    for i in range(30):
        mu = h[labels == labels[i]].mean(0)
        torch.testing.assert_close(found[i], mu + (1 - b[labels[i]]) * (h[i] - mu))


def test_the_map_embedding_shrinks_each_cluster_by_one_factor(bare):
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
