"""From cells to a result by training; an interrupted one goes on from its checkpoint."""

import logging
import tempfile
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import lightning as L
import torch
from anndata import AnnData
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import Method, Result, alone, check_n_clusters, timed
from jojoscl.networks.callbacks import History, LastCheckpoint, Progress
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.distributed import launch
from jojoscl.networks.module import SeededModule
from jojoscl.networks.settings import Oracle, Run, State, TrainerSettings
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import Stopwatch


@dataclass
class Training:
    """What a method trains on and how, the epochs that were trained so far, and the clock."""

    x: Expression
    n_clusters: int
    seed: int
    run: Run
    oracle: Oracle | None
    history: History
    watch: Stopwatch


class NetworkMethod(Method):
    """A method that trains: a subclass makes the network and says how in :meth:`train`."""

    preprocess: Preprocess
    takes_run: ClassVar[bool] = True

    @timed
    def fit_predict(
        self,
        cells: AnnData,
        n_clusters: int | None,
        *,
        seed: int = 0,
        run: Run | None = None,
        oracle: Oracle | None = None,
    ) -> Result:
        """Cluster cells (see :class:`~jojoscl.core.interface.Method`).

        Parameters
        ----------
        cells
            Cells without labels.
        n_clusters
            How many clusters to make.
        seed
            Of the weights, the batches, the views and K-means.
        run
            How to train, and where the run keeps its files.
        oracle
            Chooses the epoch by the true labels, for ``selection=oracle`` alone.
        """
        run = run or Run()
        if oracle and not self.takes_oracle:
            raise UserError(f"{self.name} keeps the last epoch: leave out the oracle.")
        with isolated(run.trainer.threads):
            watch, history = Stopwatch(), History(run)
            k = check_n_clusters(n_clusters, cells.n_obs)
            x = self.preprocess(cells)
            watch.lap("preprocess")
            result = self.train(Training(x, k, seed, run, oracle, history, watch))
            watch.lap("assign")
        if history.earlier:  # training in calls that were cut off and that this one continued
            watch.seconds["earlier"] = history.earlier
        return replace(result, seconds=watch.seconds, history=history.rows)

    @abstractmethod
    def train(self, job: Training) -> Result:
        """Train on the cells of `job`, and return their clusters, and what to note of them."""


def fit(
    module: SeededModule,
    data: CellDataModule,
    run: Run,
    max_epochs: int,
    history: History | None = None,
    stage: str = "last",
    callbacks: Sequence[L.Callback] = (),
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
        Epochs of this stage at most, if `run` does not say how many.
    history
        That of the stages before, which this stage continues.
    stage
        Names the checkpoint, in a method that trains in several stages.
    callbacks
        Their state goes into the checkpoint and comes back from it, also from other processes.

    Raises
    ------
    UserError
        If the checkpoint belongs to other settings, if the method or the machine has no use for so
        many devices, or if training diverges.
    """
    history = history or History(run)
    settings = replace(run.trainer, max_epochs=run.trainer.max_epochs or max_epochs)
    path = run.folder / f"{stage}.ckpt" if run.folder else None
    module.hparams["config_hash"] = run.config_hash  # a checkpoint holds the hyper-parameters
    if path and path.exists():
        found = load_checkpoint(path, module)["callbacks"]
        history.earlier = found[history.state_key]["seconds"]
    callbacks = [*callbacks, history]
    with tempfile.TemporaryDirectory() as folder:
        if settings.devices > 1:
            if not module.splits_batches:
                raise UserError("This method trains on one device: set trainer.devices=1.")
            path = path or Path(folder) / "last.ckpt"
            launch(_train, settings.devices, module, data, settings, path, callbacks)
            settings = replace(settings, devices=1)  # takes their checkpoint, which is finished
        _train(module, data, settings, path, callbacks)
    return history


def _train(
    module: SeededModule,
    data: CellDataModule,
    settings: TrainerSettings,
    path: Path | None,
    callbacks: list[L.Callback],
) -> None:
    """Train in this process: alone, or as one of several processes."""
    bar = [Progress()] if settings.progress_bar else []
    last = [LastCheckpoint(path, settings.checkpoint_seconds)] if path else []
    with isolated(settings.threads):
        trainer = make_trainer(settings, [*callbacks, *bar, *last])
        try:
            trainer.fit(module, data, ckpt_path=path if path and path.exists() else None)
        except SystemExit as stop:  # Lightning's for Ctrl-C: it would end a notebook's kernel
            raise KeyboardInterrupt from stop
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
    with alone(threads), ExitStack() as after:
        warnings.simplefilter("ignore")  # the advice of Lightning and torch is not for users
        for name in ("lightning.pytorch", "lightning.fabric"):
            log = logging.getLogger(name)
            after.callback(log.setLevel, log.level)
            log.setLevel(logging.WARNING)
        after.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        yield


def make_trainer(settings: TrainerSettings, callbacks: list[L.Callback]) -> L.Trainer:
    """Return Lightning's trainer; what it cannot have is a :class:`UserError`."""
    n, wants_gpu = settings.devices, settings.accelerator in ("auto", "gpu", "cuda")
    n_gpus = torch.cuda.device_count() if wants_gpu else 0  # NVIDIA's or AMD's
    try:
        return L.Trainer(
            accelerator=settings.accelerator,
            devices=[settings.device % n_gpus + i for i in range(n)] if n_gpus else n,
            strategy="ddp" if n > 1 else "auto",
            plugins=[LightningEnvironment()] if n > 1 else None,
            sync_batchnorm=n > 1 and n_gpus > 0,  # on CPUs the first process's statistics count
            use_distributed_sampler=False,
            precision=settings.precision,  # type: ignore[arg-type]
            max_epochs=settings.max_epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=isinstance(callbacks[-1], LastCheckpoint),
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".!")
        raise UserError(
            f"No training with accelerator={settings.accelerator}, devices={n} and "
            f"precision={settings.precision} ({reason}): change these settings of trainer."
        ) from error


def load_checkpoint(path: Path, module: L.LightningModule) -> State:
    """Return what a checkpoint holds, tensors on the CPU.

    A :class:`UserError` says that it is damaged, or which setting differs from `module`'s.
    """
    try:
        state: State = torch.load(path, "cpu", weights_only=True)
        found, wanted = state["hyper_parameters"], dict(module.hparams)
    except Exception as error:  # a damaged file can make a reader raise anything
        raise UserError(
            f"{path} is not a checkpoint that can be read, or is damaged: "
            "delete it, or start anew by force=true."
        ) from error
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise UserError(
                f"{path} was made with other settings ({name}: {found.get(name)} there, "
                f"{wanted[name]} here): choose another run folder, or start anew by force=true."
            )
    return state
