"""Train a LightningModule on cells, going on from the run folder's checkpoint if there is one."""

from __future__ import annotations

import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy

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
    ".*LeafSpec.*is deprecated.*",  # Lightning to torch
    ".*`broadcast_buffers` is deprecated.*",  # for what torch 2.6 does not have
    ".*overridden `transfer_batch_to_device` in `LightningModule`.*",  # on purpose
    ".*`srun` command is available.*",  # of several jobs in one allocation each is a run of its own
    ".*Previous log files in this directory will be deleted.*",  # a resumed run's History writes them again
    ".*is deprecated. Please switch to `torch.compile`.*",  # torch.compile to itself
    ".*The .grad attribute of a Tensor that is not.*",  # so is this
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
    """Train for `max_epochs` and return the history.

    `stage` names the checkpoint and `first_epoch` numbers its first epoch, in methods of several
    stages. On several devices all but the training stays in this process, which takes the module's
    and the callbacks' state from the last checkpoint. A :class:`UserError` says that the checkpoint
    does not fit, that there are not so many devices, or that training diverged.
    """
    settings, history = run.trainer, History(first_epoch)
    checkpoint = run.folder / f"{stage}.ckpt" if run.folder else None
    if checkpoint and checkpoint.exists():
        found = load_fitting(checkpoint, module, run.config_hash)
        history.earlier = found["callbacks"][history.state_key]["seconds"]
    if settings.devices == 1:
        _train(module, data, run, checkpoint, max_epochs, [*callbacks, history])
        return history

    check_devices(settings, module, data)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = checkpoint or Path(folder) / f"{stage}.ckpt"
        # A logger may hold what no other process can use: the log is written when all is done.
        shared = (
            data,
            replace(run, loggers=()),
            checkpoint,
            max_epochs,
            [SharedBatchNorm(), *callbacks, history],
        )
        launch(_train, settings.devices, module, *shared)
        state = load_checkpoint(checkpoint)
    module.load_state_dict(state["state_dict"])
    for callback in (*callbacks, history):
        if callback.state_key in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][callback.state_key])
    history.write(run.loggers)
    return history


def _train(
    module: SeededModule,
    data: CellDataModule,
    run: Run,
    checkpoint: Path | None,
    max_epochs: int,
    callbacks: Sequence[L.Callback],
) -> None:
    """Do what :func:`fit` does in each process."""
    settings = run.trainer
    last = (
        [LastCheckpoint(checkpoint, settings.checkpoint_seconds, run.config_hash)]
        if checkpoint
        else []
    )
    bar = [Progress()] if settings.progress_bar else []
    with isolated(settings.threads):
        for words in _NOT_FOR_USERS:
            warnings.filterwarnings("ignore", words)
        if settings.compile:
            for part in module.children():
                part.compile()  # in place: names in checkpoints stay as they are
        trainer = make_trainer(
            settings,
            max_epochs=max_epochs,
            callbacks=[*callbacks, *last, *bar],
            logger=list(run.loggers),
            enable_checkpointing=checkpoint is not None,
            default_root_dir=run.folder,
        )
        with interruptions_pass(trainer):
            trainer.fit(
                module,
                datamodule=data,
                ckpt_path=checkpoint if checkpoint and checkpoint.exists() else None,
            )
    module.to(
        trainer.strategy.root_device
    )  # Lightning has moved it to the CPU, and all cells are still to be embedded


@contextmanager
def interruptions_pass(trainer: L.Trainer) -> Iterator[None]:
    """Hand Ctrl-C and SIGTERM on; Lightning makes a SystemExit of both, which ends a notebook or looks like success."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if trainer.received_sigterm:
            signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt from stop
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGINT, handler
            )  # which Lightning leaves ignored if it had not begun


def make_trainer(settings: TrainerSettings, **kwargs: Any) -> L.Trainer:
    """Return Lightning's trainer; a device or a precision that it does not have is a :class:`UserError`."""
    if settings.devices > 1:
        # BatchNorm's statistics, which a broadcast before each step would overwrite, are shared
        # once an epoch.
        kwargs |= {
            "strategy": DDPStrategy(broadcast_buffers=False),
            "plugins": [LightningEnvironment()],
        }
        kwargs |= {"sync_batchnorm": on_gpu(settings), "use_distributed_sampler": False}
    try:
        return L.Trainer(
            accelerator=settings.accelerator,
            devices=devices(settings),
            precision=settings.precision,  # type: ignore[arg-type]
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            **kwargs,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".!")
        raise UserError(
            f"No training with accelerator={settings.accelerator} and "
            f"precision={settings.precision} ({reason}): change these settings of trainer."
        ) from error


def on_gpu(settings: TrainerSettings) -> bool:
    """Whether an NVIDIA or AMD GPU is there and wanted."""
    return torch.cuda.device_count() > 0 and settings.accelerator in ("auto", "gpu", "cuda")


def devices(settings: TrainerSettings) -> int | list[int]:
    """Return what Lightning takes: how many CPU processes, or which GPUs, beginning with number `settings.device`."""
    n_gpus = torch.cuda.device_count()
    if not on_gpu(settings) or n_gpus == 1:
        return settings.devices
    return [(settings.device + i) % n_gpus for i in range(settings.devices)]


def check_devices(
    settings: TrainerSettings, module: L.LightningModule, data: CellDataModule
) -> None:
    """Raise a :class:`UserError` unless there are so many devices, and two cells of each batch for every one."""
    n, n_gpus = settings.devices, torch.cuda.device_count()
    if not getattr(module, "splits_batches", False):
        raise UserError("This method trains on one device: set trainer.devices=1.")
    if on_gpu(settings) and n > n_gpus:
        raise UserError(
            f"trainer.devices={n}, and there are {n_gpus} GPUs: ask for fewer, or trainer.accelerator=cpu."
        )
    if min(len(data.cells), data.batch_size) < 2 * n:
        raise UserError(
            f"{n} devices need a batch of at least {2 * n} cells: ask for fewer devices."
        )
