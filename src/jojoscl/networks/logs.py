"""Where the losses of each epoch are written while a network trains."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class EpochLog(Protocol):
    """What takes the losses of each epoch: any class with this method, as Lightning's loggers."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Write the losses of epoch number `step`."""
        ...


def csv_log(folder: Path) -> EpochLog:
    """Return a log that writes one row per epoch to ``csv/metrics.csv`` in `folder`.

    The file is made with the first row and is complete after each row.
    """
    from lightning.pytorch.loggers import CSVLogger  # imported here: Lightning takes seconds

    return CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1)  # type: ignore[return-value]
