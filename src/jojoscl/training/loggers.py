"""The loggers that a run writes to: Lightning's, under a name that the runner may import."""

from __future__ import annotations

from lightning.pytorch.loggers import CSVLogger, Logger

__all__ = ["CSVLogger", "Logger"]
