"""The checkpoint of a stage: written whole, sealed with a digest of its bytes, and refused where it does not fit."""

from __future__ import annotations

import hashlib
import io
import pickle
import time
from contextlib import nullcontext
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from jojoscl.training.distributed import from_first
from jojoscl.training.settings import State
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

_DIGITS = 64  # of SHA-256, in hexadecimal
_UNREADABLE = "{} is not a checkpoint that can be read, or is damaged: delete it, or start anew by force=true."


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
            with whole_file(self.path) if trainer.is_global_zero else nullcontext(self.path) as path:
                trainer.save_checkpoint(path)
                if trainer.is_global_zero:
                    seal(path)
            self._saved = time.monotonic()


def seal(path: Path) -> None:
    """Put the digest of a file of `torch.save` into the comment at its end, which readers of ZIP files skip."""
    content = path.read_bytes()[:-2] + _DIGITS.to_bytes(2, "little")  # the last field is the comment's length
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


def load_sealed(path: Path) -> State:
    """Return what a checkpoint holds, tensors on the CPU; a byte that has changed is a :class:`UserError`."""
    try:
        content = path.read_bytes()
        whole = hashlib.sha256(content[:-_DIGITS]).hexdigest().encode() == content[-_DIGITS:]
        state: State = torch.load(io.BytesIO(content), "cpu", weights_only=True) if whole else {}
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(_UNREADABLE.format(path)) from error
    if not whole:
        raise UserError(_UNREADABLE.format(path))
    return state


def load_fitting(path: Path, module: L.LightningModule, config_hash: str) -> State:
    """Return a checkpoint if it is of a module, and of a run, with the same settings; else raise a UserError."""
    state = load_sealed(path)
    found, wanted = dict(state["hyper_parameters"]), dict(module.hparams)
    differing = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if differing:
        key = differing[0]
        what = f"other settings ({key}: {found.get(key)} there, {wanted.get(key)} here)"
    elif state["callbacks"][LastCheckpoint.__qualname__]["config_hash"] != config_hash:
        what = "other settings of the data or the training"
    else:
        return state
    raise UserError(f"{path} was made with {what}: choose another run folder, or start anew by force=true.")
