"""What is said of the machine."""

import numpy as np

from jojoscl.runner import machine as module
from jojoscl.runner.machine import git_commit, machine, peak_memory_mb


def test_the_machine_has_a_name_and_cores():
    name, cores, system = machine().rsplit(", ", 2)
    assert name
    assert int(cores.removesuffix(" cores")) >= 1
    assert system


def test_the_peak_stays_when_the_memory_is_given_back():
    held = np.ones(50_000_000)  # 400 MB
    size = held.nbytes / 1e6
    del held
    assert peak_memory_mb() >= size


def test_without_git_or_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert git_commit() is None
    monkeypatch.setattr(module, "__file__", str(tmp_path / "a" / "jojoscl" / "runner" / "x.py"))
    assert git_commit() is None
