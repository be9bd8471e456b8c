"""The checkpoint of a stage: written whole, and refused if it is damaged or does not fit."""

from __future__ import annotations

import time
import zipfile
from contextlib import nullcontext
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from jojoscl.networks.settings import State
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file


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


def load_checkpoint(path: Path, module: L.LightningModule) -> State:
    """Return what a checkpoint holds, tensors on the CPU.

    A :class:`UserError` says that it is damaged, or which hyper-parameter differs from `module`'s.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            if parts.testzip() is not None:  # torch writes checksums, but does not check them
                raise zipfile.BadZipFile
        state: State = torch.load(path, "cpu", weights_only=True)
        found, wanted = dict(state["hyper_parameters"]), dict(module.hparams)
    except Exception as error:  # a damaged file can make a reader raise anything
        raise UserError(
            f"{path} is not a checkpoint that can be read, or is damaged: "
            "delete it, or start anew by force=true."
        ) from error
    differ = {key for key in found | wanted if found.get(key) != wanted.get(key)}
    if not differ:
        return state
    what = "of the data or the training"
    if named := sorted(differ - {"config_hash"}):
        what = f"({named[0]}: {found.get(named[0])} there, {wanted.get(named[0])} here)"
    raise UserError(
        f"{path} was made with other settings {what}: "
        "choose another run folder, or start anew by force=true."
    )
