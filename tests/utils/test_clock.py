"""Laps are contiguous: they add up to the time since the start."""

from __future__ import annotations

import time

import pytest

from jojoscl.utils.clock import Stopwatch


def test_laps_add_up_and_a_stage_may_come_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 11.0, 13.5, 13.75])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    watch = Stopwatch()
    for stage in ("preprocess", "train", "preprocess"):
        watch.lap(stage)
    assert watch.seconds == {"preprocess": 1.25, "train": 2.5}
