"""What happens between epochs: temporal clusters, history, progress, choice of an epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence

import lightning as L
import torch
from torch import Tensor
from tqdm.auto import tqdm

from jojoscl.core.kmeans import assign
from jojoscl.networks.logs import EpochLog
from jojoscl.networks.settings import Hooked, Oracle, State


def renewed_clusters(trainer: Hooked, module: Hooked) -> Tensor:
    """Let `module` make clusters (n_cells,) of all cells, and return them.

    The module has ``clusters_on``, the name of one of its outputs (n_cells, P), and
    ``renew_clusters(output)``.
    """
    on = module.clusters_on
    return module.renew_clusters(trainer.datamodule.embed(module, only=(on,))[on])


class TemporalClusters(L.Callback):
    """Renew the module's temporal clusters at the start of every `every`-th epoch."""

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def on_train_epoch_start(self, trainer: Hooked, module: Hooked) -> None:
        if trainer.current_epoch % self.every == 0:
            renewed_clusters(trainer, module)


class Kept(L.Callback):
    """A callback whose attributes named in `kept` are saved in the checkpoint and restored."""

    kept: tuple[str, ...] = ()

    def state_dict(self) -> State:
        return {name: getattr(self, name) for name in self.kept}

    def load_state_dict(self, state_dict: State) -> None:
        for name in self.kept:
            setattr(self, name, state_dict[name])


class History(Kept):
    """Losses and seconds of every epoch; a resumed run's history is that of an unbroken run.

    Parameters
    ----------
    first_epoch
        The number of the first epoch, in a method that trains in several stages.
    logs
        Take each row as soon as it is complete.

    Attributes
    ----------
    rows
        One per epoch: its number and the means of its losses.
    seconds
        Of all epochs.
    earlier
        The part of them that was spent in calls which this one continues.
    """

    kept = ("rows", "seconds")

    def __init__(self, first_epoch: int = 0, logs: Sequence[EpochLog] = ()) -> None:
        self.first_epoch, self.logs = first_epoch, logs
        self.rows: list[dict[str, float]] = []
        self.seconds = self.earlier = 0.0

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.write(self.rows)  # those of a checkpoint, also if no epoch is left to train

    def write(self, rows: Sequence[dict[str, float]]) -> None:
        """Write rows to all logs."""
        for row in rows:
            for log in self.logs:
                log.log_metrics(row, step=int(row["epoch"]))

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.seconds += time.perf_counter() - self._started
        losses = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": self.first_epoch + trainer.current_epoch, **losses})
        self.write(self.rows[-1:])


class Progress(L.Callback):
    """One bar over all epochs, with the losses of the last."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        done, total, quiet = trainer.current_epoch, trainer.max_epochs, not trainer.is_global_zero
        self.bar = tqdm(total=total, initial=done, unit="epoch", desc="Training", disable=quiet)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.bar.set_postfix(
            {name: f"{value:.3f}" for name, value in trainer.callback_metrics.items()},
            refresh=False,
        )
        self.bar.update()

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


class OracleSelection(Kept):
    """Keep the epoch whose labels the oracle scores best, as the released code does.

    **The true labels are used.**
    """

    kept = ("best",)

    def __init__(self, oracle: Oracle, on: str, n_init: int) -> None:
        self.oracle, self.on, self.n_init = oracle, on, n_init
        self.best: State = {"score": -float("inf"), "epoch": -1}

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        outputs = trainer.datamodule.embed(module)
        labels = assign(outputs, self.on, module.n_clusters, seed=module.seed, n_init=self.n_init)
        if (score := self.oracle(labels)) > self.best["score"]:
            tensors = {name: torch.from_numpy(x) for name, x in outputs.items()}
            found = {"labels": torch.from_numpy(labels), "outputs": tensors}
            self.best = {"score": score, "epoch": trainer.current_epoch, **found}
