"""The one clock of all methods, and a bar of stages for whatever takes seconds."""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

SECONDS = 1.0  # until a bar is shown, and from one sight of it to the next
_report: ContextVar[Callable[[str], None] | None] = ContextVar("_report", default=None)


def shows(wanted: bool | None) -> bool:
    """Return whether a bar is shown; None shows one in a terminal or a notebook.

    Then a log that hides warnings hides the bar too: ``logging.getLogger("jojoscl").setLevel(
    "ERROR")``. So does tqdm's environment variable ``TQDM_DISABLE=1``.
    """
    if wanted is not None:
        return wanted
    in_notebook = type(sys.stderr).__module__.startswith("ipykernel")
    seen = in_notebook or (sys.stderr is not None and sys.stderr.isatty())
    return seen and logging.getLogger("jojoscl").isEnabledFor(logging.WARNING)


def finished(stage: str) -> None:
    """Move the bar around this call, if there is one, behind `stage`."""
    if (report := _report.get()) is not None:
        report(stage)


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


@contextmanager
def progress(title: str, stages: Sequence[str], show: bool | None = None) -> Iterator[None]:
    """Show a bar of stages while the block runs, if that takes longer than a second.

    A stage ends where :func:`finished` or a lap of :class:`Stopwatch` names
    it. Within another `progress` nothing more is shown: that one knows what is wanted.

    Parameters
    ----------
    stages
        Their names in order.
    show
        See :func:`shows`.

    Examples
    --------
    >>> with progress("cluster", ["preprocess", "assign"], show=False):
    ...     finished("preprocess")
    """
    if _report.get() is not None:
        yield
        return
    with _bar(title, stages) if shows(show) else nullcontext(lambda stage: None) as report:
        token = _report.set(report)
        try:
            yield
        finally:
            _report.reset(token)


@contextmanager
def _bar(title: str, stages: Sequence[str]) -> Iterator[Callable[[str], None]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a notebook has no ipywidgets: the bar is of letters
        from tqdm.auto import tqdm
    form, over = "{desc} |{bar:20}| {n_fmt}/{total_fmt}{postfix} [{elapsed}]", threading.Event()
    with tqdm(total=len(stages), desc=title, bar_format=form, delay=SECONDS, leave=False) as bar:

        def report(stage: str) -> None:
            if stage in stages:
                bar.n = stages.index(stage) + 1
                bar.set_postfix_str(stages[bar.n] if bar.n < len(stages) else "", refresh=False)

        def tick() -> None:  # a stage may take minutes, and the clock goes on
            while not over.wait(SECONDS):
                bar.refresh()

        bar.set_postfix_str(stages[0], refresh=False)
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield report
        finally:
            over.set()
            ticker.join()
