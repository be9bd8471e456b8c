"""Processes that end together, and signals that end a command in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 10.0  # for an interruption to reach the end of the command
_received: list[int] = []


def live_with_parent() -> None:
    """Tie this child process to the one that started it: end when that ends, also by ``kill -9``, and only then.

    Ctrl-C reaches all processes of a terminal: the parent acts on it and ends its children. SIGTERM
    ends this process at once. In a process that :mod:`multiprocessing` (or joblib) did not start,
    nothing is changed.
    """
    if (parent := multiprocessing.parent_process()) is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))

    def watch() -> None:
        if (
            parent.sentinel is None
        ):  # joblib's processes have none, and are children of the one that started them
            while os.getppid() == parent.pid:
                time.sleep(_POLL_SECONDS)
        else:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def interrupted() -> int | None:
    """Return the exit code of a command that a signal has interrupted (130 or 143), None where none has."""
    return 128 + _received[0] if _received else None


@contextmanager
def interruptible() -> Iterator[None]:
    """In this block SIGTERM raises KeyboardInterrupt, as Ctrl-C does, and :func:`interrupted` tells which it was.

    Where some library swallows the exception, the process ends after a few seconds all the same.
    """
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timers: list[threading.Timer] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        timers.append(threading.Timer(_GRACE_SECONDS, os._exit, (128 + number,)))
        timers[-1].daemon = True
        timers[-1].start()
        raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # a job in the background
    numbers = [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGINT]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()
