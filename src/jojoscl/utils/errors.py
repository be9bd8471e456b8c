"""What a user can mend is a :class:`UserError`: one sentence, no traceback, exit code 2."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn


class UserError(Exception):
    """Wrong input or settings; the message says in one sentence what is wrong and what to do."""


def nearest(word: str, options: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``, or the list of what there is when nothing is near.

    >>> nearest("blader", ["bladder", "yan"])
    " (did you mean 'bladder'?)"
    """
    options = sorted(options)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    there = ", ".join(options) or "none"
    return f" (did you mean '{close[0]}'?)" if close else f" (there are: {there})"


def check_networks() -> None:
    """Refuse a method that trains a network where the extra with torch is not installed."""
    if not all(map(find_spec, ("torch", "lightning"))):
        raise UserError("This method needs torch: pip install 'jojoscl[networks]'.")


def stop(sentence: str, program: str = "", code: int = 2) -> NoReturn:
    """Say what is wrong and what to do, and end with exit code 2, or another."""
    print(f"{program or Path(sys.argv[0]).name}: {sentence}", file=sys.stderr)
    sys.exit(code)
