"""The log of the losses."""

from __future__ import annotations

from pathlib import Path

from jojoscl.training.loggers import csv_log


def test_each_epoch_is_on_disk_at_once(tmp_path: Path) -> None:
    log = csv_log(tmp_path)
    log.log_metrics({"loss": 0.5}, step=0)
    assert (tmp_path / "csv" / "metrics.csv").read_text().splitlines() == ["loss,step", "0.5,0"]
