"""A call leaves the process as it was: random numbers, threads, default dtype, warnings and levels of logging."""

from __future__ import annotations

import logging
import random
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits

_ALONE = threading.RLock()
_NOISY = ("lightning.pytorch", "lightning.fabric")


@contextmanager
def isolated(threads: int) -> Iterator[None]:
    """Run the block alone in this process, on `threads` threads of torch, BLAS and OpenMP, and restore global state.

    What it holds is the process's and not a thread's, such as the number of threads or igraph's
    generator: calls from several Python threads take turns. Sums depend on how they are split, so a
    fixed number of threads gives the same bits whatever OMP_NUM_THREADS says.
    """
    with (
        _ALONE,
        _global_state_kept(),
        warnings.catch_warnings(),
        torch.inference_mode(False),
        torch.enable_grad(),
        threadpool_limits(threads),
    ):
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.WARNING)
        yield


@contextmanager
def _global_state_kept() -> Iterator[None]:
    """Restore the generators of Python, numpy and torch, torch's threads and dtype, Lightning's levels of logging."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the user's, to be put back)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Let layers made in the block draw their weights from `seed`; torch's global generator is as before after it."""
    with _ALONE, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        yield
