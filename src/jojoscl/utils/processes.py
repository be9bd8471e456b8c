"""Signals that end a command in order, and child processes that end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_received: list[int] = []


def live_with_parent() -> None:
    """End this child of :mod:`multiprocessing` when its parent ends, also by ``kill -9``.

    Ctrl-C reaches all processes of a terminal: the parent acts on it and ends its children.
    """
    if (parent := multiprocessing.parent_process()) is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def interrupted() -> int | None:
    """Return the exit code of a command that a signal has interrupted, 130 or 143, else None."""
    return 128 + _received[0] if _received else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt in this block, as Ctrl-C does."""
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # a job in the background
    numbers = [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGINT]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
