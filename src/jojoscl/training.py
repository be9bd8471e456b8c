"""Train a LightningModule on cells, going on from the run folder's checkpoint if there is one."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jojoscl.callbacks import History, LastCheckpoint, Progress
from jojoscl.data.datamodule import CellDataModule
from jojoscl.errors import UserError
from jojoscl.method import Run, TrainerSettings

_THREADS = torch.get_num_threads()  # as the environment says; numba, once used by scanpy, sets it anew


def fit(
    module: L.LightningModule,
    data: CellDataModule,
    run: Run,
    *,
    max_epochs: int,
    stage: str = "last",
    callbacks: Sequence[L.Callback] = (),
    first_epoch: int = 0,
) -> History:
    """Train for `max_epochs` and return the history.

    `stage` names the checkpoint and `first_epoch` numbers its first epoch, in methods of several stages.

    Raises
    ------
    UserError
        The checkpoint cannot be read, or belongs to other settings.
    """
    settings, history = run.trainer, History(first_epoch)
    torch.set_num_threads(settings.threads or _THREADS)
    extra: list[L.Callback] = [history]
    checkpoint = run.folder / f"{stage}.ckpt" if run.folder else None
    if checkpoint:
        extra.append(LastCheckpoint(checkpoint, settings.checkpoint_seconds, run.config_hash))
    if settings.progress_bar:
        extra.append(Progress())
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # One gather per batch needs no worker processes; the second is between Lightning and torch.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated.*")
        # Of several jobs in one allocation each is a run of its own; on a login node `srun` is not wanted either.
        warnings.filterwarnings("ignore", ".*`srun` command is available.*")
        # A resumed run's History writes the whole log again.
        warnings.filterwarnings("ignore", ".*Previous log files in this directory will be deleted.*")
        trainer = make_trainer(
            settings,
            max_epochs=max_epochs,
            callbacks=[*callbacks, *extra],
            logger=list(run.loggers),
            enable_checkpointing=checkpoint is not None,
            default_root_dir=run.folder,
        )
        resume = checkpoint if checkpoint and checkpoint.exists() else None
        if resume:
            check_checkpoint(resume, module, run.config_hash)
        trainer.fit(module, datamodule=data, ckpt_path=resume)
    return history


def make_trainer(settings: TrainerSettings, **kwargs: Any) -> L.Trainer:
    """Lightning's trainer; a device or a precision that it does not have is a :class:`UserError`."""
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


def devices(settings: TrainerSettings) -> int | list[int]:
    """What Lightning takes for one device: of several GPUs the one with the number `settings.device`."""
    n_gpus = torch.cuda.device_count()
    on_gpu = n_gpus > 1 and settings.accelerator in ("auto", "gpu", "cuda")
    return [settings.device % n_gpus] if on_gpu else 1


def check_checkpoint(path: Path, module: L.LightningModule, config_hash: str) -> None:
    """A :class:`UserError` unless `path` is a checkpoint of a module, and of a run, with the same settings."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found: dict[str, Any] = dict(state["hyper_parameters"])
        found_hash = state["callbacks"][LastCheckpoint.__qualname__]["config_hash"]
    except (OSError, RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{path} is not a checkpoint that can be read: delete it, or start anew by force=true."
        ) from error
    wanted = dict(module.hparams)
    differing = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if differing:
        key = differing[0]
        raise UserError(
            f"{path} was made with other settings ({key}: {found.get(key)} there, {wanted.get(key)} here): "
            "choose another run folder, or start anew by force=true."
        )
    if found_hash != config_hash:
        raise UserError(
            f"{path} was made with other settings of the data or the training: "
            "choose another run folder, or start anew by force=true."
        )
