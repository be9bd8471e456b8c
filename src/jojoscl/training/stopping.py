"""When training in stages ends. A resumed run that had stopped stays stopped."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor

from jojoscl.training.callbacks import renewed_clusters
from jojoscl.training.settings import State


class Plateau(L.Callback):
    """Stop when the training loss has not fallen by the share `gain` of its best in `patience` steps.

    Steps, not epochs: an epoch of a small set is one or two of them, and little can be learned in it.
    """

    def __init__(self, patience: int, gain: float) -> None:
        self.patience, self.gain = patience, gain
        self.best, self.best_step, self.stopped = float("inf"), 0, False

    def state_dict(self) -> State:
        return {"best": self.best, "best_step": self.best_step, "stopped": self.stopped}

    def load_state_dict(self, state_dict: State) -> None:
        self.best, self.best_step, self.stopped = (state_dict[name] for name in ("best", "best_step", "stopped"))

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = self.stopped

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics["loss"])
        if math.isinf(self.best) or loss < self.best - self.gain * abs(self.best):
            self.best, self.best_step = loss, trainer.global_step
        self.stopped = trainer.global_step - self.best_step >= self.patience
        trainer.should_stop = trainer.should_stop or self.stopped


class SettledLabels(L.Callback):
    """Let the module renew its clusters every `every` epochs; stop when they settle.

    That is when less than `tolerance` of the cells changed theirs.
    """

    def __init__(self, every: int, tolerance: float) -> None:
        self.every, self.tolerance = every, tolerance
        self.labels: Tensor | None = None
        self.stopped = False

    def state_dict(self) -> State:
        return {"labels": self.labels, "stopped": self.stopped}

    def load_state_dict(self, state_dict: State) -> None:
        self.labels, self.stopped = state_dict["labels"], state_dict["stopped"]

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = self.stopped

    def on_train_start(self, trainer: Any, module: Any) -> None:
        labels = renewed_clusters(trainer, module)
        self.labels = labels if self.labels is None else self.labels

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if (trainer.current_epoch + 1) % self.every:
            return
        before, self.labels = self.labels, renewed_clusters(trainer, module)
        changed = 1.0 if before is None else float(torch.ne(self.labels, before).float().mean())
        self.stopped = changed < self.tolerance
        trainer.should_stop = trainer.should_stop or self.stopped
