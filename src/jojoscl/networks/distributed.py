"""Train on several devices, one process each: every process sees the losses of the whole batch.

The processes do nothing but train: cells are read, clusters made and results written once, in the
process that starts them. A call from Python, a notebook or the command line is the same.

Lightning's own launchers are not used: they refuse a notebook and a process that has used CUDA,
and a KeyboardInterrupt would leave the processes running.
"""

import copy
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

import lightning as L
import torch.distributed as dist
import torch.multiprocessing as mp
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from torch.multiprocessing.spawn import ProcessRaisedException, start_processes

from jojoscl.utils.errors import UserError


def launch(
    work: Callable[..., None], n_processes: int, module: L.LightningModule, *args: object
) -> None:
    """Call ``work(module, *args)`` in `n_processes` new processes and wait for their end.

    Tensors in `args` are shared, the module is copied. A :class:`UserError` of a process is raised
    here again.
    """
    # Each process is a fork of a server that has imported all and run nothing: the slow imports
    # are done once, and CUDA and OpenMP do not survive the fork of a process that has used them.
    mp.get_context("forkserver").set_forkserver_preload(["jojoscl.networks.fit"])
    given = find_free_network_port(), work, module, *args
    started = start_processes(_on_rank, given, n_processes, False, start_method="forkserver")
    try:
        while not started.join():
            pass
    except ProcessRaisedException as error:  # its text ends with the other process's traceback
        _, found, sentence = str(error).strip().rpartition(f"{UserError.__module__}.UserError: ")
        if not found or "\n" in sentence:
            raise
        raise UserError(sentence) from None
    finally:
        for process in started.processes:
            process.kill()


def _on_rank(
    rank: int, port: int, work: Callable[..., None], module: L.LightningModule, *args: object
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent acts on it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    work(copy.deepcopy(module), *args)  # pickled weights are in memory that all processes share
    dist.destroy_process_group()


def _end_with_parent() -> None:
    """End this process when its parent ends, also by ``kill -9``."""
    multiprocessing.parent_process().join()  # type: ignore[union-attr]  # it has one
    os._exit(1)
