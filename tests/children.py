"""Processes of their own that wait for no import: forked from a server that has imported all and run nothing."""

import itertools
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

MAIN = "from jojoscl.runner.cli import main; main()"
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        *("jojoscl.runner.cli", "jojoscl.runner.run", "jojoscl.networks.fit"),
        *("sklearn.cluster", "sklearn.neighbors"),  # which a run imports where it uses them
    ]
)
_NUMBERS = itertools.count()


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., subprocess.CompletedProcess[str]]
InProcess = Callable[..., Done]


class Child(NamedTuple):
    """A process, and the files that it writes to."""

    process: BaseProcess
    out: Path
    err: Path

    def ended(self, timeout: float = 300) -> tuple[int | None, str, str]:
        """Wait for its end, and return its exit code and what it wrote."""
        self.process.join(timeout)
        return self.process.exitcode, self.out.read_text(), self.err.read_text()


def start(code: str, *arguments: str, folder: Path, **environment: str) -> Child:
    """Start `code` in `folder` as a script with these arguments."""
    number = next(_NUMBERS)
    out, err = (folder.with_name(f"{folder.name}-{number}.{name}") for name in ("out", "err"))
    process = _CONTEXT.Process(
        target=_run, args=(code, arguments, folder, dict(os.environ) | environment, (out, err))
    )
    for path in (out, err):
        path.touch()
    process.start()
    return Child(process, out, err)


def _run(
    code: str,
    arguments: tuple[str, ...],
    folder: Path,
    environment: dict[str, str],
    streams: tuple[Path, Path],
) -> None:
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["jojoscl", *arguments]
    exec(code, {"__name__": "__main__"})
