"""The checkpoint of a stage: written whole, and refused where it is damaged or does not fit."""

from __future__ import annotations

import time
import zipfile
from contextlib import nullcontext
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from jojoscl.networks.distributed import from_first
from jojoscl.networks.settings import State
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file


class LastCheckpoint(Checkpoint):
    """Keep the state after the last epoch in `path`, at most once in `seconds`; the file is never half-written.

    `config_hash` is kept in it.
    """

    def __init__(self, path: Path, seconds: float, config_hash: str) -> None:
        self.path, self.seconds, self.config_hash = path, seconds, config_hash
        self._saved = time.monotonic()

    def state_dict(self) -> State:
        return {"config_hash": self.config_hash}

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        done = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if from_first(lambda: done or time.monotonic() - self._saved >= self.seconds):
            # All processes take part in saving, and the first writes.
            with (
                whole_file(self.path) if trainer.is_global_zero else nullcontext(self.path) as path
            ):
                trainer.save_checkpoint(path)
            self._saved = time.monotonic()


def load_checkpoint(path: Path) -> State:
    """Return what a checkpoint holds, tensors on the CPU; a value that has changed is a :class:`UserError`."""
    try:
        with zipfile.ZipFile(path) as parts:
            if (
                parts.testzip() is not None
            ):  # torch writes the checksum of each part, and does not look at it
                raise zipfile.BadZipFile
        state: State = torch.load(path, "cpu", weights_only=True)
        (
            state["hyper_parameters"],
            state["callbacks"][LastCheckpoint.__qualname__]["config_hash"],
        )  # those of a run
        return state
    except Exception as error:  # a damaged file can make a reader raise anything
        raise UserError(
            f"{path} is not a checkpoint that can be read, or is damaged: delete it, or start anew by force=true."
        ) from error


def load_fitting(path: Path, module: L.LightningModule, config_hash: str) -> State:
    """Return a checkpoint if it is of a module, and of a run, with the same settings; else raise a UserError."""
    state = load_checkpoint(path)
    found, wanted = dict(state["hyper_parameters"]), dict(module.hparams)
    differing = sorted(
        key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)
    )
    if differing:
        key = differing[0]
        what = f"other settings ({key}: {found.get(key)} there, {wanted.get(key)} here)"
    elif state["callbacks"][LastCheckpoint.__qualname__]["config_hash"] != config_hash:
        what = "other settings of the data or the training"
    else:
        return state
    raise UserError(
        f"{path} was made with {what}: choose another run folder, or start anew by force=true."
    )
