"""When training in stages ends. A resumed run that had stopped stays stopped."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
from torch import Tensor


class Plateau(L.Callback):
    """Stop when, for `patience` epochs, the training loss was never lower than its best by more than the share `gain`.

    The best is the loss that was last so much lower than the best before it.
    """

    def __init__(self, patience: int, gain: float) -> None:
        self.patience, self.gain = patience, gain
        self.best, self.waited = float("inf"), 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.waited = state_dict["best"], state_dict["waited"]

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = self.waited >= self.patience

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics["loss"])
        if math.isinf(self.best) or loss < self.best - self.gain * abs(self.best):
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        trainer.should_stop = trainer.should_stop or self.waited >= self.patience


class SettledLabels(L.Callback):
    """Let the module renew its clusters every `every` epochs; stop when they settle.

    That is when less than `tolerance` of the cells changed theirs.
    """

    def __init__(self, every: int, tolerance: float) -> None:
        self.every, self.tolerance = every, tolerance
        self.labels: Tensor | None = None
        self.stopped = False

    def state_dict(self) -> dict[str, Any]:
        return {"labels": self.labels, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.labels, self.stopped = state_dict["labels"], state_dict["stopped"]

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = self.stopped

    def on_train_start(self, trainer: Any, module: Any) -> None:
        labels = module.renew_clusters(trainer.datamodule.embed(module)["z"])
        self.labels = labels if self.labels is None else self.labels

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if (trainer.current_epoch + 1) % self.every:
            return
        labels = module.renew_clusters(trainer.datamodule.embed(module)["z"])
        changed = float((labels != self.labels).float().mean())
        self.labels, self.stopped = labels, changed < self.tolerance
        trainer.should_stop = trainer.should_stop or self.stopped
