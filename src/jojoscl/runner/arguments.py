"""The command line before Hydra reads it: paths are quoted, unknown choices are refused."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jojoscl.runner.config import compose, keys_of, parse
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import choices, conf_dir

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
        A flag or a choice that is not there, or a sweep over nothing.
    """

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message[0].upper()}{message[1:]}: see jojoscl --help.")

    parser = get_args_parser()
    parser.error = refuse
    found = parser.parse_args(list(arguments))
    if found.experimental_rerun:  # which unpickles a file
        refuse("--experimental-rerun is not offered")
    for override in parse(found.overrides):
        if not override.key_or_group:
            refuse(f"{override.input_line!r} is no setting: settings are given as key=value")
        if found.config_dir is None:
            check_values(override)
    return found


def check_values(override: Override) -> None:
    """Refuse, before the first job, a choice that is not there and a sweep over nothing."""
    if override.is_delete() or (override.is_sweep_override() and not override.is_discrete_sweep()):
        return
    group, value = str(override.key_or_group), override.value()
    if isinstance(value, Glob):
        given = value.filter(choices(group))
    elif override.is_discrete_sweep():
        given = list(override.sweep_string_iterator())
    else:
        given = [override.get_value_element_as_str()]
    if not given:
        raise UserError(f"{override.input_line!r} matches nothing, so there is nothing to run.")
    if known := choices(group):
        for name in (text.strip("'\"").removesuffix(".yaml") for text in given):
            if name not in (*known, "null"):
                raise UserError(f"{group} has no choice {name!r}{nearest(name, known)}.")


def quoted(argument: str, *, several: bool) -> str:
    """Return an argument with its path, if it gives one, quoted for Hydra, and ``~`` written out.

    With `several`, in a sweep, commas stand between paths, unless there is a file with that name.

    >>> quoted("data.path=a=b (1).h5ad", several=False)
    "data.path='a=b (1).h5ad'"
    >>> quoted("data.path=a b.h5ad,c.h5ad", several=True)
    "data.path='a b.h5ad','c.h5ad'"
    """
    key, equals, value = argument.partition("=")
    written_for_hydra = _WRITTEN_FOR_HYDRA.fullmatch(value) and not os.path.exists(value)
    if not equals or not _PATHS.fullmatch(key) or written_for_hydra:
        return argument
    one = not several or os.path.exists(os.path.expanduser(value))
    texts = (
        QuotedString(os.path.expanduser(name), Quote.single).with_quotes()
        for name in ([value] if one else value.split(","))
    )
    return f"{key}={','.join(texts)}"


def known_keys(arguments: Sequence[str]) -> list[str]:
    """Return all settings, dotted, of the groups that the arguments choose."""
    given = parse([a for a in arguments if "=" in a and not a.startswith("-")])
    chosen = [o.input_line for o in given if choices(str(o.key_or_group))]
    try:
        cfg = compose([str(line) for line in chosen])
    except (HydraException, OmegaConfBaseException):
        cfg = compose()
    groups = [path.name for path in conf_dir().iterdir() if path.is_dir()]
    return ["hydra.run.dir", "hydra.sweep.dir", *groups, *keys_of(OmegaConf.to_container(cfg))]
