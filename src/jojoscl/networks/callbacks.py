"""What happens between epochs: history, progress, checkpoints, choice of an epoch, the end."""

import math
import time
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.pytorch.callbacks import Checkpoint
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from jojoscl.core.metrics import cosine_gap
from jojoscl.networks.settings import EpochLog, Hooked, Oracle, Run, State
from jojoscl.networks.sure import estimate_shrinkage
from jojoscl.utils.files import whole_file

_OF_CLUSTERS = "n", "sigma2", "tau2", "b"
_KEYS = ("epoch", "quantity", "cluster", "other", "value")


class Kept(L.Callback):
    """A callback whose attributes named in `kept` are saved in the checkpoint and restored."""

    kept: tuple[str, ...] = ()

    def state_dict(self) -> State:
        return {name: getattr(self, name) for name in self.kept}

    def load_state_dict(self, state_dict: State) -> None:
        vars(self).update(state_dict)


class History(Kept):
    """Losses and seconds of every epoch; a resumed run's history is that of an unbroken run.

    Each row goes to ``csv/metrics.csv`` in the run's folder and to its other logs as soon as it
    is complete.

    Attributes
    ----------
    rows
        One per epoch of all stages so far: its number and the means of its losses.
    seconds
        Of all epochs.
    earlier
        The part of them that was spent in calls which this one continues.
    """

    kept = ("rows", "seconds")

    def __init__(self, run: Run) -> None:
        self.logs: tuple[EpochLog, ...] = run.logs
        if run.folder:
            csv = CSVLogger(run.folder, "csv", "", flush_logs_every_n_steps=1)
            self.logs = (csv.log_metrics, *run.logs)
        self.rows: list[dict[str, float]] = []
        self.seconds = self.earlier = 0.0
        self.n_written = 0

    def __getstate__(self) -> State:
        return vars(self) | {"logs": ()}  # a log may not work in another process

    def write(self) -> None:
        """Write the rows that are new to all logs."""
        for row in self.rows[self.n_written :]:
            for log in self.logs:
                log(row, int(row["epoch"]))
        self.n_written = len(self.rows)

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.write()  # the rows of a checkpoint, also if no epoch is left to train
        self.last = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        now = time.perf_counter()
        self.seconds += now - self.last
        self.last = now
        losses = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": len(self.rows), **losses})
        self.write()


class Progress(L.Callback):
    """One bar over all epochs, with the losses of the last."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        done, total, quiet = trainer.current_epoch, trainer.max_epochs, not trainer.is_global_zero
        self.bar = tqdm(total=total, initial=done, unit="epoch", desc="Training", disable=quiet)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        losses = {name: f"{value:.3f}" for name, value in trainer.callback_metrics.items()}
        self.bar.set_postfix(losses, refresh=False)
        self.bar.update()

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


class LastCheckpoint(Checkpoint):
    """Write the state after an epoch to `path`, at most once in `seconds`, and after the last.

    The file is never half-written.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds, self._saved = path, seconds, time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        done = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        due = done or time.monotonic() - self._saved >= self.seconds
        if trainer.strategy.broadcast(due):  # as the first process says
            # Lightning needs all processes for saving, though only the first writes.
            writes = whole_file if trainer.is_global_zero else nullcontext
            with writes(self.path) as path:
                trainer.save_checkpoint(path)
            self._saved = time.monotonic()


class OracleSelection(Kept):
    """Keep the epoch whose labels have the highest ARI + NMI, as the released code does.

    **The true labels are used.**
    """

    kept = ("best",)

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.best: State = {"score": -math.inf, "epoch": -1}

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        labels, x = module.clusters_of(trainer.datamodule)
        scores = self.oracle(labels)
        if (score := scores["ari"] + scores["nmi"]) > self.best["score"]:
            found = {"labels": torch.from_numpy(labels), "embedding": torch.from_numpy(x)}
            self.best = {"score": score, "epoch": trainer.current_epoch, **found}


class _Stop(Kept):
    """What ends a stage. A stage that had stopped stays stopped in a resumed run."""

    stopped = False

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = self.stopped


class Plateau(_Stop):
    """Stop if the best loss has not fallen by the share `gain` within `patience` steps.

    It counts steps, not epochs: an epoch of a small set has only one or two of them. Without a
    patience it never stops.
    """

    kept = ("best", "best_step", "stopped")

    def __init__(self, patience: int | None, gain: float) -> None:
        self.patience, self.gain = patience or math.inf, gain
        self.best, self.best_step = float("inf"), 0

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics["loss"])
        if math.isinf(self.best) or loss < self.best - self.gain * abs(self.best):
            self.best, self.best_step = loss, trainer.global_step
        waited = trainer.global_step - self.best_step
        trainer.should_stop = self.stopped = waited >= self.patience


class SettledLabels(_Stop):
    """Renew the module's clusters every `every` epochs; stop if few cells change theirs.

    `tolerance` is the share of the cells below which training stops.
    """

    kept = ("labels", "stopped")

    def __init__(self, every: int, tolerance: float) -> None:
        self.every, self.tolerance = every, tolerance
        self.labels = torch.empty(0)

    def on_train_start(self, trainer: Hooked, module: Hooked) -> None:
        labels = self.renewed(trainer, module)
        self.labels = self.labels if len(self.labels) else labels

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        if (trainer.current_epoch + 1) % self.every:
            return
        before, self.labels = self.labels, self.renewed(trainer, module)
        changed = float(torch.ne(self.labels, before).float().mean())
        trainer.should_stop = self.stopped = changed < self.tolerance

    def renewed(self, trainer: Hooked, module: Hooked) -> Tensor:
        return torch.from_numpy(module.clusters_of(trainer.datamodule)[0])


class ShrinkageRecord(Kept):
    """A tidy record of each epoch, from the views that were trained on: nothing is drawn again.

    It is saved in the checkpoint, like :class:`History`.

    Attributes
    ----------
    rows
        With the keys epoch, quantity, cluster, other and value. The quantities are

        - cosine_gap: mean cosine of the two views of a cell minus that of views of different cells,
        - n, sigma2, tau2, b of each temporal cluster,
        - movement: how far its centroid moved since the epoch before,
        - distance between two centroids, after the last epoch.

        A cluster keeps its number from epoch to epoch, by the nearest centroids.
    """

    kept = ("rows", "centroids")

    def __init__(self) -> None:
        self.rows: list[dict[str, float | str | None]] = []
        self.centroids: Tensor | None = None

    def on_train_epoch_start(self, trainer: object, module: Hooked) -> None:
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_train_batch_end(self, trainer: object, module: Hooked, *args: object) -> None:
        self.batches.append(module.views)

    def on_train_epoch_end(self, trainer: Hooked, module: Hooked) -> None:
        kept = zip(*self.batches, strict=True)
        x1, x2, index = (torch.cat(x).cpu() for x in kept)  # (N, P), (N, P), (N,)
        self.batches.clear()
        gap = cosine_gap(*(normalize(x.float()).numpy() for x in (x1, x2)))
        found: dict[tuple[str, int | None, int | None], float] = {("cosine_gap", None, None): gap}
        if module.epoch_clusters:
            k = len(module.centroids)
            shrunk = estimate_shrinkage(x1.double(), x2.double(), module.labels.cpu()[index], k)
            mean, before, order = shrunk.mean.float(), self.centroids, torch.arange(k)
            if before is not None:
                order = torch.from_numpy(linear_sum_assignment(torch.cdist(before, mean))[1])
            mean = self.centroids = mean[order]
            of_clusters = {name: getattr(shrunk, name)[order].float() for name in _OF_CLUSTERS}
            if before is not None:
                of_clusters["movement"] = (mean - before).norm(dim=1)
            for name, values in of_clusters.items():
                found |= {(name, i, None): value for i, value in enumerate(values.tolist())}
            if trainer.current_epoch + 1 == trainer.max_epochs:
                far, pairs = torch.cdist(mean, mean).tolist(), combinations(range(k), 2)
                found |= {("distance", i, other): far[i][other] for i, other in pairs}
        rows = ((trainer.current_epoch, *key, value) for key, value in found.items())
        self.rows += [dict(zip(_KEYS, row, strict=True)) for row in rows]
