"""The bar of stages: who sees it, what it says, and that there is one at a time."""

import io
import logging
import time
from contextlib import redirect_stderr

from jojoscl.utils.progress import Stopwatch, finished, progress, shows


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_names_the_stage_that_runs():
    with redirect_stderr(Screen()) as screen, progress("cluster", ["read", "neighbors", "cut"]):
        Stopwatch().lap("read")
        with progress("inner", ["layout"]):
            finished("neighbors")
            finished("a stage of nobody")
    seen = screen.getvalue()
    for words in ("0/3, read", "1/3, neighbors", "2/3, cut"):
        assert words in seen
    assert "inner" not in seen


def test_no_bar_where_none_is_wanted():
    none = progress("cluster", ["read"], show=False)
    with redirect_stderr(Screen()) as screen, none, progress("inner", ["x"], show=True):
        finished("read")
    assert screen.getvalue() == ""


def test_none_shows_a_bar_to_who_can_see_it():
    logger = logging.getLogger("jojoscl")
    with redirect_stderr(Screen()):
        assert shows(None)
        logger.setLevel(logging.ERROR)
        seen = [shows(None), shows(True)]
        logger.setLevel(logging.NOTSET)
        assert seen == [False, True]
    for other in (io.StringIO(), None):
        with redirect_stderr(other):
            assert not shows(None)


def test_laps_add_up_and_a_stage_may_come_twice(monkeypatch):
    now = iter([10.0, 11.0, 13.5, 13.75])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    watch = Stopwatch()
    for stage in ("preprocess", "train", "preprocess"):
        watch.lap(stage)
    assert watch.seconds == {"preprocess": 1.25, "train": 2.5}
