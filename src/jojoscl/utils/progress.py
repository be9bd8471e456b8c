"""The one clock of all methods, and a bar of stages."""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

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
    """Show a bar of stages while the block runs.

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a notebook has no ipywidgets: the bar is of letters
        from tqdm.auto import tqdm
    form = "{desc} |{bar:20}| {n_fmt}/{total_fmt}{postfix} [{elapsed}]"
    how = {"bar_format": form, "leave": False, "disable": not shows(show)}
    with tqdm(total=len(stages), desc=title, postfix=stages[0], **how) as bar:

        def report(stage: str) -> None:
            if stage in stages:
                bar.n = stages.index(stage) + 1
                bar.set_postfix_str("".join(stages[bar.n : bar.n + 1]))

        token = _report.set(report)
        try:
            yield
        finally:
            _report.reset(token)
