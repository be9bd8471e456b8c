"""A call leaves the process unchanged: random numbers, threads, dtype, warnings, log levels."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from jojoscl.core.interface import alone

_NOISY = ("lightning.pytorch", "lightning.fabric")


@contextmanager
def isolated(threads: int) -> Iterator[None]:
    """Run the block on `threads` threads of torch, BLAS and OpenMP, then restore global state.

    Global state belongs to the process: calls from several Python threads wait for each other.
    The bits of a sum depend on how threads share it, so a fixed number of threads gives the same
    bits on one machine, whatever OMP_NUM_THREADS says. They also depend on the processor's
    instructions, which the libraries choose from: another machine may give other bits.
    """
    with (
        alone(threads),
        _global_state_kept(),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.WARNING)
        yield


@contextmanager
def _global_state_kept() -> Iterator[None]:
    """Restore all that this room or Lightning changes, also after an error.

    Lightning's isolate_rng does not restore after an error.
    """
    of_python = random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002 (the user's own generator)
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
    """Let layers that are made in the block draw their weights from `seed`.

    Torch's global generator is not changed.
    """
    with alone(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        yield
