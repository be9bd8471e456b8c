"""What a command prints when nobody can take it: the run matters more than its words."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO


class Tolerant:
    """A stream that drops what cannot be written, and keeps the first error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write what can be written."""
        self._guarded(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Pass on what is in the buffer."""
        self._guarded(self._stream.flush)

    def _guarded(self, action: Callable[..., object], *args: str) -> None:
        try:
            action(*args)
        except UnicodeEncodeError:  # a terminal without these letters
            encoding = self._stream.encoding
            action(*(text.encode(encoding, "backslashreplace").decode(encoding) for text in args))
        except OSError as error:
            self.error = self.error or error
            with contextlib.suppress(
                OSError, ValueError
            ):  # the rest goes nowhere, also what is still in a buffer
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextlib.contextmanager
def tolerant_streams() -> Iterator[Tolerant]:
    """Make stdout and stderr tolerant in this block, and yield stdout; a closed one becomes the null device."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w") as null:
        sys.stdout, sys.stderr = (Tolerant(stream or null) for stream in before)
        try:
            yield sys.stdout
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before
