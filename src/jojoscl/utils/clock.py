"""Seconds by stage: the one clock of all methods."""

from __future__ import annotations

import time

from jojoscl.utils.progress import finished


class Stopwatch:
    """Wall time of each stage, without a gap: a stage ends where :meth:`lap` names it.

    >>> watch = Stopwatch()
    >>> watch.lap("preprocess")
    >>> list(watch.seconds)
    ['preprocess']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to `stage`; a bar of stages moves behind it."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._began
        self._began = now
        finished(stage)
