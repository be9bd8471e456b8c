"""What a user can mend is a :class:`UserError`: one sentence, no traceback, exit code 2."""

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
    for package in ("torch", "lightning"):
        check_installed("This method", package, "networks")


def check_installed(what: str, package: str, extra: str) -> None:
    """Refuse what needs a package of an extra that is not installed."""
    if find_spec(package) is None:
        raise UserError(f"{what} needs {package}: pip install 'jojoscl[{extra}]'.")


def stop(sentence: str, program: str = "", code: int = 2) -> NoReturn:
    """Say what is wrong and what to do, and end with exit code 2, or another."""
    print(f"{program or Path(sys.argv[0]).name}: {sentence}", file=sys.stderr)
    sys.exit(code)
