"""Errors of the system, of memory and of processes in one sentence; a defect of ours in none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from jojoscl.runner.sentences import sentence
from jojoscl.utils.errors import UserError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**9, 10**9), np.dtype(float)),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_memory_is_one_sentence(error: BaseException) -> None:
    assert (sentence(error) or "").startswith(
        "There is not enough memory: read an h5ad by bands with data.backed=true"
    )


def test_errors_of_files_say_which_and_what_to_do(tmp_path: Path) -> None:
    mine = tmp_path / "mine.h5"
    mine.write_text("")
    run = tmp_path / "run"
    run.mkdir()
    long = OSError(errno.ENAMETOOLONG, "File name too long", f"runs/{'a' * 300}/seed0")
    assert (
        sentence(long, run)
        == f"The name {'a' * 40}... is too long for this disk: choose a shorter one."
    )
    denied = PermissionError(errno.EACCES, "Permission denied", str(mine))
    assert (
        sentence(denied, run)
        == f"{mine} cannot be read (Permission denied): check who may read it."
    )
    full = OSError(errno.ENOSPC, "No space left on device")
    assert (
        sentence(full, run)
        == f"No space left to write {run}: free some disk or choose another folder."
    )
    lost = FileNotFoundError(
        errno.ENOENT, "No such file or directory", str(run / "csv" / "metrics.csv")
    )
    run.rmdir()
    assert (
        sentence(lost, run) == f"{run} was removed during the run: the same command starts it anew."
    )


def test_a_killed_process_is_told_and_a_defect_is_not() -> None:
    lost = type("TerminatedWorkerError", (Exception,), {})()
    assert "was killed" in (sentence(lost) or "")
    assert sentence(UserError("Wrong.")) == "Wrong."
    assert sentence(RuntimeError("a defect of ours")) is None
    assert sentence(OSError("of a library, without a number")) is None
