"""When training in stages ends. A resumed run that had stopped stays stopped."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor


class Patience(EarlyStopping):
    """Stop when the training loss has not fallen for `patience` epochs."""

    def __init__(self, patience: int) -> None:
        super().__init__("loss", patience=patience, check_on_train_epoch_end=True)

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = self.wait_count >= self.patience


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
