"""How networks are trained: values that make sense, what a run knows, and its losses in a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from jojoscl.networks.settings import CsvLog, Run, TrainerSettings
from jojoscl.utils.errors import UserError


@pytest.mark.parametrize("name", ["max_epochs", "accelerator", "device", "devices", "threads"])
def test_wrong_values_are_named(name: str) -> None:
    with pytest.raises(UserError, match=name):
        TrainerSettings.of({name: "tpu" if name == "accelerator" else -1})


def test_a_run_writes_nothing_and_shows_its_progress_by_default() -> None:
    assert Run().folder is None
    assert Run().trainer.progress_bar


def test_each_row_is_in_the_file_at_once(tmp_path: Path) -> None:
    log = CsvLog(tmp_path)
    rows = [{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0, "cluster": 0.5}]
    for epoch, row in enumerate(rows):
        log.log_metrics(row, step=epoch)
        table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
        assert len(table) == epoch + 1
        assert table.iloc[-1][list(row)].to_dict() == row
