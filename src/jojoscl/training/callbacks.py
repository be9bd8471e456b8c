"""What happens between epochs: temporal clusters, history, progress, checkpoint, the oracle's choice of epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from tqdm.auto import tqdm

from jojoscl.clustering.kmeans import assign, temporal_clusters
from jojoscl.training.distributed import from_first
from jojoscl.training.settings import Oracle
from jojoscl.utils.files import whole_file


class EpochLabels(L.Callback):
    """Renew the module's temporal clusters at the start of each epoch; K-means goes on from the last centroids."""

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        outputs = trainer.datamodule.embed(module, only=(module.hyper["assign_on"], module.space))
        start = module.centroids.cpu().numpy() if module.centroids.any() else None
        assign_on, seed = module.hyper["assign_on"], module.seed
        labels, centroids = from_first(
            lambda: temporal_clusters(outputs, assign_on, module.space, module.n_clusters, seed=seed, start=start)
        )
        module.labels.copy_(torch.from_numpy(labels))
        module.centroids.copy_(torch.from_numpy(centroids))


class History(L.Callback):
    """Losses and seconds of every epoch. Kept in the checkpoint: a resumed run's log is an unbroken one's.

    `first_epoch` numbers the first of them, in a method that trains in several stages.
    """

    def __init__(self, first_epoch: int = 0) -> None:
        self.first_epoch = first_epoch
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.seconds = state_dict["rows"], state_dict["seconds"]

    def on_fit_start(self, trainer: Any, module: L.LightningModule) -> None:  # also where nothing is left to train
        self.write(trainer.loggers)

    def write(self, loggers: Sequence[Any]) -> None:
        """Write all rows to `loggers`."""
        for row in self.rows:
            for logger in loggers:
                logger.log_metrics(row, step=int(row["epoch"]))

    def on_train_epoch_start(self, trainer: Any, module: L.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, module: L.LightningModule) -> None:
        self.seconds += time.perf_counter() - self._started
        losses = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = self.first_epoch + trainer.current_epoch
        self.rows.append({"epoch": epoch, **losses})
        for logger in trainer.loggers:
            logger.log_metrics(self.rows[-1], step=epoch)


class Progress(L.Callback):
    """One bar over all epochs, with the losses of the last."""

    def on_train_start(self, trainer: Any, module: L.LightningModule) -> None:
        self.bar = tqdm(
            total=trainer.max_epochs,
            initial=trainer.current_epoch,
            unit="epoch",
            desc="Training",
            disable=not trainer.is_global_zero,
        )

    def on_train_epoch_end(self, trainer: Any, module: L.LightningModule) -> None:
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in trainer.callback_metrics.items()}, refresh=False)
        self.bar.update()

    def teardown(self, trainer: Any, module: L.LightningModule, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


class LastCheckpoint(Checkpoint):
    """Keep the state after the last epoch in `path`, at most once in `seconds`; the file is never half-written.

    `config_hash` is kept in it.
    """

    def __init__(self, path: Path, seconds: float, config_hash: str) -> None:
        self.path, self.seconds, self.config_hash = path, seconds, config_hash
        self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"config_hash": self.config_hash}

    def on_train_epoch_end(self, trainer: Any, module: L.LightningModule) -> None:
        done = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if from_first(lambda: done or time.monotonic() - self._saved >= self.seconds):
            # All processes take part in saving, and the first writes.
            with whole_file(self.path) if trainer.is_global_zero else nullcontext(self.path) as path:
                trainer.save_checkpoint(path)
            self._saved = time.monotonic()


class OracleSelection(L.Callback):
    """Keep the epoch whose labels the oracle scores best, as the released code does. **Uses the true labels.**"""

    def __init__(self, oracle: Oracle, on: str, n_init: int) -> None:
        self.oracle, self.on, self.n_init = oracle, on, n_init
        self.best: dict[str, Any] = {"score": -float("inf"), "epoch": -1}

    def state_dict(self) -> dict[str, Any]:
        return self.best

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        outputs = trainer.datamodule.embed(module)
        labels = assign(outputs, self.on, module.n_clusters, seed=module.seed, n_init=self.n_init)
        score = self.oracle(labels)
        if score > self.best["score"]:
            tensors: dict[str, Tensor] = {name: torch.from_numpy(x) for name, x in outputs.items()}
            self.best = {
                "score": score,
                "epoch": trainer.current_epoch,
                "labels": torch.from_numpy(labels),
                "outputs": tensors,
            }
