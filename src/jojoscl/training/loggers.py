"""Where the losses of each epoch go."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers import Logger as Logger


def csv_log(folder: Path) -> Logger:
    """Return the logger that writes ``csv/metrics.csv`` in `folder`, a row an epoch."""
    return CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1)
