"""How networks are trained, and where a run keeps its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jojoscl.utils.settings import Settings, between, one_of

Oracle = Callable[[np.ndarray], float]
"""Scores labels against the truth. Only `selection=oracle` hands one to a method, and its rows are marked."""


@dataclass(kw_only=True)
class TrainerSettings(Settings):
    """How networks are trained: what `conf/trainer/` holds."""

    max_epochs: int | None = between(1, default=None)  # null: the method's own
    accelerator: str = one_of("auto", "cpu", "gpu", "cuda", "mps", default="auto")
    device: int = between(0, default=0)  # which GPU, or the first of them; modulo their number
    devices: int = between(1, default=1)  # GPUs, or processes on the CPU, that share each batch
    precision: str = "32-true"
    compile: bool = False  # encoders and heads by torch.compile
    threads: int = between(1, default=1)  # of torch, BLAS and OpenMP; another number may give other results
    progress_bar: bool = True
    checkpoint_seconds: float = between(0, default=1.0)  # at most one checkpoint in so many seconds


@dataclass(frozen=True)
class Run:
    """Where and how a method runs; it knows nothing of the true labels.

    folder: checkpoints and logs go here; None writes nothing. loggers: Lightning loggers.
    config_hash: of the settings; a checkpoint with another is refused.
    """

    folder: Path | None = None
    cache: Path | None = None
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    loggers: tuple[Any, ...] = ()
    config_hash: str = ""
