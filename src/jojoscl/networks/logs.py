"""Where the losses of each epoch are written while a network trains."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Protocol


class EpochLog(Protocol):
    """What takes the losses of each epoch: any class with this method, as Lightning's loggers."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Write the losses of epoch number `step`."""
        ...


class CsvLog:
    """Write one row per epoch to ``csv/metrics.csv`` in `folder`, made anew with the first row.

    The file is complete after each row. Lightning's CSVLogger does the same, but takes seconds to
    import, also for methods that train nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "csv" / "metrics.csv"
        self.rows: list[dict[str, float]] = []
        self.columns: list[str] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Write the losses of epoch number `step`."""
        self.rows.append({"step": step, **metrics})
        new = [name for name in self.rows[-1] if name not in self.columns]
        self.columns += new
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w" if new else "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            if new:  # the rows before have no such columns: all are written again
                writer.writeheader()
            writer.writerows(self.rows if new else self.rows[-1:])
