"""Train a LightningModule on cells; an interrupted training goes on from its checkpoint."""

from __future__ import annotations

import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy, Strategy

from jojoscl.networks.callbacks import History, Progress
from jojoscl.networks.checkpoint import LastCheckpoint, load_checkpoint, load_fitting
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.distributed import SharedBatchNorm, launch
from jojoscl.networks.isolation import isolated
from jojoscl.networks.module import SeededModule
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError

_NOT_FOR_USERS = (  # warnings
    ".*does not have many workers.*",  # one gather per batch needs no worker processes
    ".*LeafSpec.*is deprecated.*",  # Lightning's use of torch
    ".*`broadcast_buffers` is deprecated.*",  # its successor is not in torch 2.6
    ".*`srun` command is available.*",  # each job of an allocation is a run of its own
    ".*is deprecated. Please switch to `torch.compile`.*",  # torch's use of itself
    ".*The .grad attribute of a Tensor that is not.*",  # the same
)


def fit(
    module: SeededModule,
    data: CellDataModule,
    run: Run,
    *,
    max_epochs: int,
    stage: str = "last",
    callbacks: Sequence[L.Callback] = (),
    first_epoch: int = 0,
) -> History:
    """Train `module` in place and return the history.

    Parameters
    ----------
    module, data
        What to train, and on which cells.
    run
        How to train, and the folder of the checkpoint. If that holds one of this stage, training
        goes on from there.
    max_epochs
        Epochs of this stage, at most.
    stage
        Names the checkpoint, in a method that trains in several stages.
    callbacks
        Their state goes into the checkpoint and comes back from it, also from other processes.
    first_epoch
        The number of this stage's first epoch in the history.

    Raises
    ------
    UserError
        If the checkpoint belongs to other settings, if there are too few devices, or if training
        diverges.
    """
    history = History(first_epoch, run.loggers)
    checkpoint = run.folder / f"{stage}.ckpt" if run.folder else None
    if checkpoint and checkpoint.exists():
        found = load_fitting(checkpoint, module, run.config_hash)
        history.earlier = found["callbacks"][history.state_key]["seconds"]
    train = _train if run.trainer.devices == 1 else _train_in_processes
    train(module, _Stage(data, run, checkpoint, max_epochs, (*callbacks, history)))
    return history


@dataclass(frozen=True)
class _Stage:
    data: CellDataModule
    run: Run
    checkpoint: Path | None
    max_epochs: int
    callbacks: tuple[L.Callback, ...]


def _train(module: SeededModule, stage: _Stage) -> None:
    """Train in this process: alone, or as one of several that :func:`_train_in_processes` began."""
    run, checkpoint, callbacks = stage.run, stage.checkpoint, list(stage.callbacks)
    if checkpoint:
        seconds = run.trainer.checkpoint_seconds
        callbacks.append(LastCheckpoint(checkpoint, seconds, run.config_hash))
    if run.trainer.progress_bar:
        callbacks.append(Progress())
    with isolated(run.trainer.threads):
        for words in _NOT_FOR_USERS:
            warnings.filterwarnings("ignore", words)
        if run.trainer.compile:
            for part in module.children():
                part.compile()  # in place: names in checkpoints stay the same
        trainer = make_trainer(
            run.trainer, stage.max_epochs, callbacks, checkpoint is not None, run.folder
        )
        goes_on = checkpoint if checkpoint and checkpoint.exists() else None
        with interruptions_pass(trainer):
            trainer.fit(module, datamodule=stage.data, ckpt_path=goes_on)
    # Lightning has moved the module to the CPU, and all cells are still to be embedded.
    module.to(trainer.strategy.root_device)


def _train_in_processes(module: SeededModule, stage: _Stage) -> None:
    """Train on several devices, and take the state of module and callbacks from the checkpoint.

    All but the training stays in this process.
    """
    run = stage.run
    check_devices(run.trainer, module, stage.data)
    *_, history = stage.callbacks
    assert isinstance(history, History)
    with tempfile.TemporaryDirectory() as folder:
        path = stage.checkpoint or Path(folder) / "last.ckpt"
        # A log may not work in another process: all rows are written at the end.
        history.logs = ()
        shared = replace(
            stage,
            run=replace(run, loggers=()),
            checkpoint=path,
            callbacks=(SharedBatchNorm(), *stage.callbacks),
        )
        launch(_train, run.trainer.devices, module, shared)
        state = load_checkpoint(path)
    module.load_state_dict(state["state_dict"])
    for callback in stage.callbacks:
        if callback.state_key in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][callback.state_key])
    history.logs = run.loggers
    history.write(history.rows)


@contextmanager
def interruptions_pass(trainer: L.Trainer) -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C, and pass SIGTERM on to the program's own handler.

    Lightning raises SystemExit for both: that ends a notebook's kernel, or looks like success.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if trainer.received_sigterm:
            signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt from stop
    finally:
        # Interrupted before it has begun, Lightning would leave Ctrl-C ignored.
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def make_trainer(
    settings: TrainerSettings,
    max_epochs: int,
    callbacks: list[L.Callback],
    checkpoints: bool,
    folder: Path | None,
) -> L.Trainer:
    """Return Lightning's trainer; an unknown device or precision is a :class:`UserError`."""
    strategy: str | Strategy = "auto"
    if settings.devices > 1:
        # BatchNorm's statistics are averaged after each epoch: no broadcast before each step.
        strategy = DDPStrategy(broadcast_buffers=False)
    try:
        return L.Trainer(
            accelerator=settings.accelerator,
            devices=devices(settings),
            strategy=strategy,
            plugins=[LightningEnvironment()] if settings.devices > 1 else None,
            sync_batchnorm=settings.devices > 1 and on_gpu(settings),
            use_distributed_sampler=False,
            precision=settings.precision,  # type: ignore[arg-type]
            max_epochs=max_epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=checkpoints,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            default_root_dir=folder,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".!")
        raise UserError(
            f"No training with accelerator={settings.accelerator} and "
            f"precision={settings.precision} ({reason}): change these settings of trainer."
        ) from error


def on_gpu(settings: TrainerSettings) -> bool:
    """Return whether training uses an NVIDIA or AMD GPU."""
    return torch.cuda.device_count() > 0 and settings.accelerator in ("auto", "gpu", "cuda")


def devices(settings: TrainerSettings) -> int | list[int]:
    """Return a number of CPU processes, or the GPUs from number `settings.device` on."""
    n_gpus = torch.cuda.device_count()
    if not on_gpu(settings) or n_gpus == 1:
        return settings.devices
    return [(settings.device + i) % n_gpus for i in range(settings.devices)]


def check_devices(
    settings: TrainerSettings, module: L.LightningModule, data: CellDataModule
) -> None:
    """Raise a :class:`UserError` if the method, the machine or the batch cannot be shared."""
    n, n_gpus = settings.devices, torch.cuda.device_count()
    if not getattr(module, "splits_batches", False):
        raise UserError("This method trains on one device: set trainer.devices=1.")
    if on_gpu(settings) and n > n_gpus:
        raise UserError(
            f"trainer.devices={n}, and there are {n_gpus} GPUs: "
            "ask for fewer, or trainer.accelerator=cpu."
        )
    if min(len(data.cells), data.batch_size) < 2 * n:
        raise UserError(
            f"{n} devices need a batch of at least {2 * n} cells: ask for fewer devices."
        )
