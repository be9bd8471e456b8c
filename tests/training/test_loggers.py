"""The loggers of a run."""

from __future__ import annotations

from pathlib import Path

from jojoscl.training.loggers import CSVLogger, Logger


def test_losses_of_an_epoch_are_a_row_of_a_table(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="csv", version="")
    logger.log_metrics({"epoch": 0, "loss": 1.5}, step=0)
    logger.save()
    assert isinstance(logger, Logger)
    assert "1.5" in (tmp_path / "csv" / "metrics.csv").read_text()
