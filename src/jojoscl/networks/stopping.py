"""When a stage of training ends. A stage that had stopped stays stopped in a resumed run."""

from __future__ import annotations

import math

import lightning as L
import torch
from torch import Tensor

from jojoscl.networks.callbacks import Kept, renewed_clusters
from jojoscl.networks.settings import Hooked


class _Stop(Kept):
    stopped = False

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = self.stopped

    def stop_if(self, trainer: L.Trainer, stopped: bool) -> None:
        """Stop the training, and remember it."""
        self.stopped = stopped
        trainer.should_stop = trainer.should_stop or stopped


class Plateau(_Stop):
    """Stop if the best loss has not fallen by the share `gain` within `patience` steps.

    It counts steps, not epochs: an epoch of a small set has only one or two of them.
    """

    kept = ("best", "best_step", "stopped")

    def __init__(self, patience: int, gain: float) -> None:
        self.patience, self.gain = patience, gain
        self.best, self.best_step = float("inf"), 0

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics["loss"])
        if math.isinf(self.best) or loss < self.best - self.gain * abs(self.best):
            self.best, self.best_step = loss, trainer.global_step
        self.stop_if(trainer, trainer.global_step - self.best_step >= self.patience)


class SettledLabels(_Stop):
    """Renew the module's clusters every `every` epochs; stop if few cells change theirs.

    `tolerance` is the share of the cells below which training stops.
    """

    kept = ("labels", "stopped")

    def __init__(self, every: int, tolerance: float) -> None:
        self.every, self.tolerance = every, tolerance
        self.labels: Tensor | None = None

    def on_train_start(self, trainer: Hooked, module: Hooked) -> None:
        labels = renewed_clusters(trainer, module)
        self.labels = labels if self.labels is None else self.labels

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        if (trainer.current_epoch + 1) % self.every:
            return
        before, self.labels = self.labels, renewed_clusters(trainer, module)
        changed = 1.0 if before is None else float(torch.ne(self.labels, before).float().mean())
        self.stop_if(trainer, changed < self.tolerance)
