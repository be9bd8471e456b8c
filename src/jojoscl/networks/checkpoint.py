"""The checkpoint of a stage: written whole, and refused if it is damaged or does not fit."""

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
    """Write the state after an epoch to `path`, at most once in `seconds`, and after the last.

    The file is never half-written. It also holds `config_hash`.
    """

    def __init__(self, path: Path, seconds: float, config_hash: str) -> None:
        self.path, self.seconds, self.config_hash = path, seconds, config_hash
        self._saved = time.monotonic()

    def state_dict(self) -> State:
        return {"config_hash": self.config_hash}

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        done = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if from_first(lambda: done or time.monotonic() - self._saved >= self.seconds):
            # Lightning needs all processes for saving, though only the first writes.
            writes = whole_file if trainer.is_global_zero else nullcontext
            with writes(self.path) as path:
                trainer.save_checkpoint(path)
            self._saved = time.monotonic()


def load_checkpoint(path: Path) -> State:
    """Return what a checkpoint holds, tensors on the CPU; a damaged one is a :class:`UserError`."""
    try:
        with zipfile.ZipFile(path) as parts:
            if parts.testzip() is not None:  # torch writes checksums, but does not check them
                raise zipfile.BadZipFile
        state: State = torch.load(path, "cpu", weights_only=True)
        _config_hash(state), state["hyper_parameters"]
        return state
    except Exception as error:  # a damaged file can make a reader raise anything
        raise UserError(
            f"{path} is not a checkpoint that can be read, or is damaged: "
            "delete it, or start anew by force=true."
        ) from error


def _config_hash(state: State) -> str:
    return str(state["callbacks"][LastCheckpoint.__qualname__]["config_hash"])


def load_fitting(path: Path, module: L.LightningModule, config_hash: str) -> State:
    """Return a checkpoint of the same module and run; a :class:`UserError` names what differs."""
    state = load_checkpoint(path)
    found, wanted = dict(state["hyper_parameters"]), dict(module.hparams)
    keys = found.keys() | wanted.keys()
    if differing := sorted(key for key in keys if found.get(key) != wanted.get(key)):
        key = differing[0]
        what = f"other settings ({key}: {found.get(key)} there, {wanted.get(key)} here)"
    elif _config_hash(state) != config_hash:
        what = "other settings of the data or the training"
    else:
        return state
    raise UserError(
        f"{path} was made with {what}: choose another run folder, or start anew by force=true."
    )
