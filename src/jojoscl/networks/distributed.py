"""One training on several devices, a process each: a loss sees the whole batch, of which each process has a share.

The processes are started here, not by Lightning: they train and nothing else, so that cells are
read, clusters made and results written once, and a call from Python, a notebook or the command line
is the same.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import lightning as L
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from torch import Tensor, nn
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from jojoscl.utils.errors import UserError
from jojoscl.utils.processes import live_with_parent

T = TypeVar("T")
_IMPORTED = 77  # exit code of a process that never came to its work


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process and how many there are: (0, 1) where nothing is distributed."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [
            torch.empty_like(x, memory_format=torch.contiguous_format)
            for _ in range(dist.get_world_size())
        ]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        rank, world = rank_and_world()
        return gradient.chunk(world)[rank] * world


def gather(x: Tensor) -> Tensor:
    """Return the rows x (b, ...) of all processes, (b * world, ...), in the order of the batch; each must have as many.

    Every process must go on to the same loss. Its gradient in x is multiplied by their number,
    since DDP averages the gradients of weights over the processes where their sum is that of the
    whole batch.
    """
    return _Gather.apply(x) if dist.is_initialized() else x


def own_share(batch: Tensor) -> Tensor:
    """Return the own rows of a batch (B, ...); those that do not divide, fewer than processes, sit out."""
    rank, world = rank_and_world()
    share = len(batch) // world
    return batch[rank * share : (rank + 1) * share]


def from_first(make: Callable[[], T]) -> T:
    """Return what `make` returns in the first process; the others wait for it, and do not call theirs."""
    rank, world = rank_and_world()
    box = [make() if rank == 0 else None]
    if world > 1:
        dist.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]


class SharedBatchNorm(L.Callback):
    """After each epoch average BatchNorm's running statistics: without SyncBatchNorm each process has its own."""

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d):
                for statistic in (layer.running_mean, layer.running_var):
                    statistic.copy_(trainer.strategy.reduce(statistic, reduce_op="mean"))  # type: ignore[union-attr]


def launch(
    work: Callable[..., None], n_processes: int, module: L.LightningModule, *args: object
) -> None:
    """Call ``work(module, *args)`` in processes of their own; tensors in `args` are shared, the module is copied.

    What :class:`UserError` one of them raises is raised here.
    """
    if "LOCAL_RANK" in os.environ:
        raise UserError("Training on several devices starts its own processes: leave out torchrun.")
    end_if_imported()
    try:
        # Forked from a server that has imported and not run anything: CUDA and OpenMP do not
        # survive a fork.
        mp.get_context("forkserver").set_forkserver_preload(
            ["jojoscl.networks.fit"]
        )  # and so all slow imports, once
        arguments = (find_free_network_port(), work, module, *args)
        with children_end():
            start_processes(_on_rank, arguments, n_processes, start_method="forkserver")
    except ProcessRaisedException as error:  # holds a traceback as text
        sentence = (
            str(error).strip().rpartition(f"{UserError.__module__}.{UserError.__name__}: ")[2]
        )
        if "\n" in sentence or sentence == str(error).strip():
            raise
        raise UserError(sentence) from None
    except ProcessExitedException as error:
        if error.exit_code != _IMPORTED:
            raise
        raise UserError(
            "Processes for several devices import the script that starts them: put its call of jojoscl below "
            '`if __name__ == "__main__":`.'
        ) from None


def end_if_imported() -> None:
    """End a process that :func:`launch` has started and that, in importing the user's script, came to its call again.

    It cannot start processes of its own.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(_IMPORTED)


@contextmanager
def children_end() -> Iterator[None]:
    """Kill the processes that were started in this block when it is left by an exception."""
    before = set(mp.active_children())
    try:
        yield
    except BaseException:
        for child in set(mp.active_children()) - before:
            child.kill()
            child.join()
        raise


def _on_rank(
    rank: int, port: int, work: Callable[..., None], module: L.LightningModule, *args: object
) -> None:
    live_with_parent()
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
    }
    work(copy.deepcopy(module), *args)  # not the one set of weights that all would change
    dist.destroy_process_group()
