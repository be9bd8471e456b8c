"""Seconds by stage."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds of each stage; a stage ends where :meth:`lap` names it, and the next one begins.

    >>> watch = Stopwatch()
    >>> watch.lap("preprocess")
    >>> list(watch.seconds)
    ['preprocess']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The time since the last lap went to `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._began
        self._began = now
