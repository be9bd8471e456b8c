"""What happens between epochs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from jojoscl.networks import callbacks
from jojoscl.networks.callbacks import History, OracleSelection, TemporalClusters


def trainer(epoch: int, **more: Any) -> Any:
    return SimpleNamespace(current_epoch=epoch, **more)


def test_temporal_clusters_are_renewed_every_so_many_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renewed: list[int] = []
    monkeypatch.setattr(
        callbacks, "renewed_clusters", lambda trainer, module: renewed.append(trainer.current_epoch)
    )
    for epoch in range(7):
        TemporalClusters(every=3).on_train_epoch_start(trainer(epoch), None)
    assert renewed == [0, 3, 6]


def test_a_history_goes_on_where_it_was() -> None:
    history = History(first_epoch=10)
    for epoch in range(2):
        history.on_train_epoch_start(trainer(epoch), None)  # type: ignore[arg-type]
        history.on_train_epoch_end(
            trainer(epoch, callback_metrics={"loss": torch.tensor(1.0 - epoch)}),
            None,  # type: ignore[arg-type]
        )
    assert history.rows == [{"epoch": 10, "loss": 1.0}, {"epoch": 11, "loss": 0.0}]
    written: list[tuple[float, int]] = []
    log = SimpleNamespace(log_metrics=lambda row, step: written.append((row["loss"], step)))
    resumed = History(logs=[log])
    resumed.load_state_dict(history.state_dict())
    assert resumed.rows == history.rows
    assert resumed.seconds == history.seconds > 0
    resumed.on_fit_start(trainer(2), None)  # type: ignore[arg-type]
    assert written == [(1.0, 10), (0.0, 11)]


def test_the_oracle_keeps_the_first_of_the_best_epochs() -> None:
    scores = iter([0.1, 0.7, 0.7, 0.2])
    selection = OracleSelection(lambda labels: next(scores), "h", 1)
    h = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    for epoch in range(4):
        data = SimpleNamespace(embed=lambda module, epoch=epoch: {"h": h + epoch})
        selection.on_train_epoch_end(
            trainer(epoch, datamodule=data), SimpleNamespace(n_clusters=3, seed=0)
        )
    assert selection.best["epoch"] == 1
    torch.testing.assert_close(selection.best["outputs"]["h"], torch.from_numpy(h + 1))
    assert len(selection.best["labels"].unique()) == 3
