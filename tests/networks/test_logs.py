"""The losses of each epoch in a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jojoscl.networks.logs import CsvLog


def test_each_row_is_in_the_file_at_once(tmp_path: Path) -> None:
    log = CsvLog(tmp_path)
    rows = [{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0, "cluster": 0.5}]
    for epoch, row in enumerate(rows):
        log.log_metrics(row, step=epoch)
        table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
        assert len(table) == epoch + 1
        assert table.iloc[-1][list(row)].to_dict() == row
