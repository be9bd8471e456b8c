"""Train a LightningModule on cells; an interrupted training goes on from its checkpoint."""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jojoscl.core.interface import alone
from jojoscl.networks.callbacks import History, Progress
from jojoscl.networks.checkpoint import LastCheckpoint, load_checkpoint
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.distributed import launch
from jojoscl.networks.module import SeededModule
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError

_NOT_FOR_USERS = (  # warnings
    ".*does not have many workers.*",  # one gather per batch needs no worker processes
    ".*LeafSpec.*is deprecated.*",  # Lightning's use of torch
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
    history, settings = History(first_epoch, run.loggers), run.trainer
    path = run.folder / f"{stage}.ckpt" if run.folder else None
    module.hparams["config_hash"] = run.config_hash  # a checkpoint holds the hyper-parameters
    if path and path.exists():
        found = load_checkpoint(path, module)["callbacks"]
        history.earlier = found[history.state_key]["seconds"]
    callbacks = [*callbacks, history]
    if settings.devices == 1:
        _train(module, data, settings, max_epochs, path, callbacks)
        return history
    # All but the training stays in this process; the state comes back in the checkpoint.
    check_devices(settings, module, data)
    history.logs = ()  # a log may not work in another process: all rows are written at the end
    with tempfile.TemporaryDirectory() as folder:
        path = path or Path(folder) / "last.ckpt"
        launch(_train, settings.devices, module, data, settings, max_epochs, path, callbacks)
        state = load_checkpoint(path, module)
    module.load_state_dict(state["state_dict"])
    for callback in callbacks:
        callback.load_state_dict(state["callbacks"].get(callback.state_key, {}))
    history.logs = run.loggers
    history.write(history.rows)
    return history


def _train(
    module: SeededModule,
    data: CellDataModule,
    settings: TrainerSettings,
    max_epochs: int,
    path: Path | None,
    callbacks: list[L.Callback],
) -> None:
    """Train in this process: alone, or as one of several processes."""
    bar = [Progress()] if settings.progress_bar else []
    last = [LastCheckpoint(path, settings.checkpoint_seconds)] if path else []
    with isolated(settings.threads):
        for words in _NOT_FOR_USERS:
            warnings.filterwarnings("ignore", words)
        if settings.compile:
            for part in module.children():
                part.compile()  # in place: names in checkpoints stay the same
        trainer = make_trainer(settings, max_epochs, [*callbacks, *bar, *last])
        with interruptions_pass(trainer):
            trainer.fit(module, data, ckpt_path=path if path and path.exists() else None)
    # Lightning has moved the module to the CPU, and all cells are still to be embedded.
    module.to(trainer.strategy.root_device)


@contextmanager
def isolated(threads: int) -> Iterator[None]:
    """Run the block on `threads` threads of torch, BLAS and OpenMP, then restore global state.

    Global state belongs to the process: calls from several Python threads wait for each other.
    The bits of a sum depend on how threads share it, so a fixed number of threads gives the same
    bits on one machine, whatever OMP_NUM_THREADS says. They also depend on the processor's
    instructions, which the libraries choose from: another machine may give other bits.

    Random numbers need no guard: all are drawn from generators of their own.
    """
    with alone(threads), torch.inference_mode(False), torch.enable_grad(), ExitStack() as after:
        after.callback(torch.set_num_threads, torch.get_num_threads())
        after.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        for name in ("lightning.pytorch", "lightning.fabric"):
            log = logging.getLogger(name)
            after.callback(log.setLevel, log.level)
            log.setLevel(logging.WARNING)
        yield


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
    settings: TrainerSettings, max_epochs: int, callbacks: list[L.Callback]
) -> L.Trainer:
    """Return Lightning's trainer; an unknown device or precision is a :class:`UserError`."""
    n, n_gpus = settings.devices, count_gpus(settings)
    try:
        return L.Trainer(
            accelerator=settings.accelerator,
            devices=[(settings.device + i) % n_gpus for i in range(n)] if n_gpus else n,
            strategy="ddp" if n > 1 else "auto",
            plugins=[LightningEnvironment()] if n > 1 else None,
            sync_batchnorm=n > 1 and n_gpus > 0,  # on CPUs the first process's statistics count
            use_distributed_sampler=False,
            precision=settings.precision,  # type: ignore[arg-type]
            max_epochs=max_epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=isinstance(callbacks[-1], LastCheckpoint),
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".!")
        raise UserError(
            f"No training with accelerator={settings.accelerator} and "
            f"precision={settings.precision} ({reason}): change these settings of trainer."
        ) from error


def count_gpus(settings: TrainerSettings) -> int:
    """Return how many NVIDIA or AMD GPUs training may use."""
    return torch.cuda.device_count() if settings.accelerator in ("auto", "gpu", "cuda") else 0


def check_devices(settings: TrainerSettings, module: SeededModule, data: CellDataModule) -> None:
    """Raise a :class:`UserError` if the method, the machine or the batch cannot be shared."""
    n, n_gpus = settings.devices, count_gpus(settings)
    if not module.splits_batches:
        raise UserError("This method trains on one device: set trainer.devices=1.")
    if 0 < n_gpus < n:
        raise UserError(
            f"trainer.devices={n}, and there are {n_gpus} GPUs: "
            "ask for fewer, or trainer.accelerator=cpu."
        )
    if min(len(data.cells), data.batch_size) < 2 * n:
        raise UserError(
            f"{n} devices need a batch of at least {2 * n} cells: ask for fewer devices."
        )
