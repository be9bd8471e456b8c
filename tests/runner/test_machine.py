"""What is said of the machine."""

from __future__ import annotations

import numpy as np

from jojoscl.runner.machine import machine, peak_memory_mb


def test_the_machine_has_a_name_and_cores() -> None:
    name, cores, system = machine().rsplit(", ", 2)
    assert name
    assert int(cores.removesuffix(" cores")) >= 1
    assert system


def test_the_peak_stays_when_the_memory_is_given_back() -> None:
    held = np.ones(50_000_000)  # 400 MB
    size = held.nbytes / 1e6
    del held
    assert peak_memory_mb() >= size
