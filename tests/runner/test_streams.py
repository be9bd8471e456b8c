"""What is printed where nobody can take it."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys

import pytest

from jojoscl.runner.streams import Tolerant, tolerant_streams

HELP = [sys.executable, "-c", "from jojoscl.runner.cli import main; main()", "--help"]


class Broken(io.StringIO):
    """Takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_first_error_is_kept_and_the_rest_dropped() -> None:
    stream = Tolerant(Broken())
    assert stream.write("words") == 5
    assert stream.error is not None
    assert stream.error.errno == errno.ENOSPC


def test_letters_that_a_terminal_does_not_have_are_written_as_codes() -> None:
    raw = io.BytesIO()
    stream = Tolerant(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("größe")
    stream.flush()
    assert raw.getvalue() == rb"gr\xf6\xdfe"


def test_closed_streams_are_replaced_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with tolerant_streams() as stdout:
        print("nothing")
        assert stdout.error is None
    assert sys.stdout is None


def test_a_reader_that_left_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(HELP, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_full_disk_below_stdout_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(HELP, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr
        == "jojoscl: The output cannot be written (No space left on device): write it elsewhere.\n"
    )
