"""What happens between epochs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from jojoscl.networks.callbacks import History, OracleSelection, Plateau
from jojoscl.networks.settings import Run


def trainer(epoch: int, **more: Any) -> Any:
    return SimpleNamespace(current_epoch=epoch, **more)


def trained(history: History, *losses: dict[str, float]) -> History:
    """One epoch for each of `losses`."""
    history.on_fit_start(trainer(0), None)  # type: ignore[arg-type]
    for row in losses:
        history.on_train_epoch_end(trainer(0, callback_metrics=row), None)  # type: ignore[arg-type]
    return history


def test_a_history_goes_on_where_it_was() -> None:
    history = trained(History(Run()), {"loss": 1.0}, {"loss": 0.0})
    assert history.rows == [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.0}]
    written: list[tuple[float, int]] = []
    log = SimpleNamespace(log_metrics=lambda row, step: written.append((row["loss"], step)))
    resumed = History(Run(loggers=(log,)))
    resumed.load_state_dict(history.state_dict())
    assert resumed.rows == history.rows
    assert resumed.seconds == history.seconds > 0
    resumed.on_fit_start(trainer(2), None)  # type: ignore[arg-type]
    assert written == [(1.0, 0), (0.0, 1)]
    trained(resumed, {"loss": -1.0})
    assert written[2:] == [(-1.0, 2)]


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")  # the second run's, as it begins
def test_each_row_is_in_the_file_at_once(tmp_path: Path) -> None:
    for _ in range(2):
        history = History(Run(tmp_path))
        for epoch, row in enumerate(({"loss": 2.0}, {"loss": 1.0, "cluster": 0.5})):
            trained(history, row)
            table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
            assert len(table) == epoch + 1
            assert table.iloc[-1].to_dict() == {"epoch": epoch, "step": epoch, **row}


def test_the_oracle_keeps_the_first_of_the_best_epochs() -> None:
    scores = iter([0.1, 0.7, 0.7, 0.2])
    selection = OracleSelection(lambda labels: next(scores))
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


@pytest.mark.parametrize(
    ("losses", "gain", "end"),
    [
        ([3.0, 2.0, 2.1, 2.2], 0.0, 4),  # two epochs that are not below 2
        ([3.0, 2.0, 1.99, 1.98], 0.0, None),
        ([3.0, 2.0, 1.99, 1.98, 1.97], 0.02, 4),  # 1.98 is not yet 2 % below 2
        ([3.0, 2.0, 1.99, 1.95, 1.94, 1.93], 0.02, 6),  # 1.95 is
        ([-1.0, -1.01, -1.02], 0.05, 3),  # a log-likelihood above 0
        ([-1.0, -1.1, -1.2, -1.3], 0.05, None),
    ],
)
def test_plateau(losses: list[float], gain: float, end: int | None) -> None:
    assert stops_after(losses, patience=20, gain=gain) == end
