"""How networks are trained, and where a run keeps its files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jojoscl.utils.settings import IRRELEVANT, Settings, setting

State = dict[str, Any]  # what a checkpoint holds, or a callback in it
Hooked = Any  # a trainer or a module in a hook: each callback knows which attributes it needs
# Scores labels by the true ones, {"ari": .7, "nmi": .8, ...}, for selection=oracle alone.
Oracle = Callable[[np.ndarray], dict[str, float]]
EpochLog = Callable[[dict[str, Any], int], None]  # takes the losses of an epoch, and its number
_ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


@dataclass(kw_only=True)
class TrainerSettings(Settings):
    """How networks are trained."""

    max_epochs: int | None = setting(None, "Epochs; None: the method's.", low=1, neutral=None)
    accelerator: str = setting("auto", "Where to train.", values=_ACCELERATORS, neutral=IRRELEVANT)
    device: int = setting(0, "Which GPU, modulo their number.", low=0, neutral=IRRELEVANT)
    devices: int = setting(1, "GPUs, or CPU processes, that share a batch.", low=1, neutral=1)
    precision: str = setting("32-true", "One of Lightning's precisions.", neutral="32-true")
    threads: int = setting(1, "CPU threads; another number may change bits.", low=1, neutral=1)
    progress_bar: bool = setting(True, "Whether to show a bar of the epochs.", neutral=IRRELEVANT)
    checkpoint_seconds: float = setting(1.0, "Least time between two.", low=0, neutral=IRRELEVANT)


@dataclass(frozen=True)
class Run:
    """Where and how a method runs; it knows nothing of the true labels.

    Parameters
    ----------
    folder
        Of the checkpoints, and of the losses, ``csv/metrics.csv``; None writes nothing.
    trainer
        How networks are trained.
    logs
        Take the losses of each epoch too.
    config_hash
        Of the settings: a checkpoint with another hash is refused.
    """

    folder: Path | None = None
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    logs: tuple[EpochLog, ...] = ()
    config_hash: str = ""
