"""The command line before Hydra reads it: paths are quoted, unknown flags are refused."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Quote, QuotedString

from jojoscl.utils.errors import UserError

_PATHS = re.compile(
    r"\+{0,2}(data\.(path|metadata|root|folder)|paths\.\w+|hydra\.(run\.dir|sweep\.(dir|subdir))"
    r"|model|output)"
)
_WRITTEN_FOR_HYDRA = re.compile(
    r"""null|["'].*["']|(glob|choice|shuffle|sort|tag)\(.*\)|.*\$\{.*|"""
)


def check_arguments(arguments: Sequence[str]) -> Namespace:
    """Return the command line, without the program's name, as Hydra reads it.

    Raises
    ------
    UserError
        There is no such flag.
    """

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}: see jojoscl --help.")

    parser = get_args_parser()
    parser.error = refuse
    return parser.parse_args(list(arguments))


def quoted(argument: str, *, several: bool) -> str:
    """Return an argument with its path, if it gives one, quoted for Hydra, and ``~`` written out.

    With `several`, in a sweep, commas stand between paths, unless there is a file with that name.

    >>> quoted("data.path=a=b (1).h5ad", several=False)
    "data.path='a=b (1).h5ad'"
    >>> quoted("data.path=a b.h5ad,c.h5ad", several=True)
    "data.path='a b.h5ad','c.h5ad'"
    """
    key, _, value = argument.partition("=")
    written_for_hydra = _WRITTEN_FOR_HYDRA.fullmatch(value) and not os.path.exists(value)
    if not _PATHS.fullmatch(key) or written_for_hydra:
        return argument
    one = not several or os.path.exists(os.path.expanduser(value))
    texts = (
        QuotedString(os.path.expanduser(name), Quote.single).with_quotes()
        for name in ([value] if one else value.split(","))
    )
    return f"{key}={','.join(texts)}"
