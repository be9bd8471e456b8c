"""How networks are trained, and where a run keeps its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jojoscl.utils.settings import IRRELEVANT, Settings, setting

State = dict[str, Any]
"""What a checkpoint, or a callback in it, keeps."""
Oracle = Callable[[np.ndarray], float]
"""Scores labels against the truth. Only `selection=oracle` hands one to a method, and its rows are marked."""


@dataclass(kw_only=True)
class TrainerSettings(Settings):
    """How networks are trained."""

    max_epochs: int | None = setting(
        None, "Epochs of each training; None is the method's own number.", low=1, neutral=None
    )
    accelerator: str = setting(
        "auto", "Where to train.", values=("auto", "cpu", "gpu", "cuda", "mps"), neutral=IRRELEVANT
    )
    device: int = setting(
        0, "Which GPU, or the first of several; a number beyond the last counts on from 0.", low=0, neutral=IRRELEVANT
    )
    devices: int = setting(1, "How many GPUs, or processes on the CPU, share each batch.", low=1, neutral=1)
    precision: str = setting("32-true", "Any precision of Lightning's.", neutral="32-true")
    compile: bool = setting(
        False, "Whether to use torch.compile, which takes its time at the start.", neutral=IRRELEVANT
    )
    threads: int = setting(
        1, "CPU threads of torch, BLAS and OpenMP; another number may give other results.", low=1, neutral=1
    )
    progress_bar: bool = setting(True, "Whether to show one.", neutral=IRRELEVANT)
    checkpoint_seconds: float = setting(
        1.0,
        "A checkpoint is written at most once in this many seconds; 0 writes one after every epoch.",
        low=0,
        neutral=IRRELEVANT,
    )


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
