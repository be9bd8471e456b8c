"""A call leaves the process unchanged: threads, dtype, gradients, warnings, log levels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from jojoscl.core.interface import alone

_NOISY = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]


@contextmanager
def isolated(threads: int) -> Iterator[None]:
    """Run the block on `threads` threads of torch, BLAS and OpenMP, then restore global state.

    Global state belongs to the process: calls from several Python threads wait for each other.
    The bits of a sum depend on how threads share it, so a fixed number of threads gives the same
    bits on one machine, whatever OMP_NUM_THREADS says. They also depend on the processor's
    instructions, which the libraries choose from: another machine may give other bits.

    Random numbers need no guard: all are drawn from generators of their own.
    """
    with alone(threads), torch.inference_mode(False), torch.enable_grad():
        before, dtype = torch.get_num_threads(), torch.get_default_dtype()
        levels = [log.level for log in _NOISY]
        try:
            torch.set_num_threads(threads)
            torch.set_default_dtype(torch.float32)
            for log in _NOISY:
                log.setLevel(logging.WARNING)
            yield
        finally:
            torch.set_num_threads(before)
            torch.set_default_dtype(dtype)
            for log, level in zip(_NOISY, levels, strict=True):
                log.setLevel(level)


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Let layers that are made in the block draw their weights from `seed`.

    Torch's global generator is not changed.
    """
    with alone(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        yield
