"""The command line before Hydra sees it: paths are quoted, and what Hydra would not explain is refused."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jojoscl.runner.config import compose, conf_dir, parse
from jojoscl.utils.errors import UserError, nearest

_PATHS = re.compile(
    r"\+{0,2}(data\.(path|metadata|root|folder)|paths\.\w+|hydra\.(run\.dir|sweep\.(dir|subdir))|model|output)"
)
_WRITTEN_FOR_HYDRA = re.compile(
    r"""null|["'].*["']|(glob|choice|shuffle|sort|tag)\(.*\)|.*\$\{.*|"""
)


def check_arguments(arguments: Sequence[str]) -> Namespace:
    """Return the command line, without the program's name, as Hydra parses it.

    Raises
    ------
    UserError
        What Hydra would answer with its usage or a traceback.
    """

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message[0].upper()}{message[1:]}: see jojoscl --help.")

    for argument in arguments:
        if re.search(r"[\udc80-\udcff]", argument):
            raise UserError(
                f"{argument!r} holds bytes that are no text: rename the file, or give a link to it."
            )
    parser = get_args_parser()
    parser.error = refuse
    found = parser.parse_args(list(arguments))
    for override in parse(found.overrides):
        _check(override, own_choices=found.config_dir is not None)
    return found


def quoted(argument: str, *, several: bool) -> str:
    """Return an argument that gives a path with its value quoted, and ``~`` as the home folder; another as it is.

    With `several`, in a sweep, commas stand between paths, unless there is a file with that name.

    >>> quoted("data.path=a=b (1).h5ad", several=False)
    "data.path='a=b (1).h5ad'"
    >>> quoted("data.path=a b.h5ad,c.h5ad", several=True)
    "data.path='a b.h5ad','c.h5ad'"
    """
    key, equals, value = argument.partition("=")
    if (
        not equals
        or not _PATHS.fullmatch(key)
        or (_WRITTEN_FOR_HYDRA.fullmatch(value) and not os.path.exists(value))
    ):
        return argument
    names = (
        value.split(",") if several and not os.path.exists(os.path.expanduser(value)) else [value]
    )
    texts = (QuotedString(os.path.expanduser(name), Quote.single).with_quotes() for name in names)
    return f"{key}={','.join(texts)}"


def _check(override: Override, *, own_choices: bool) -> None:
    key, line = str(override.key_or_group or ""), override.input_line
    if not key:
        raise UserError(f"{line!r} cannot be read: settings are given as key=value.")
    value = override.value()
    names = value.list if isinstance(value, ChoiceSweep) else [value]
    if (
        is_group(key)
        and not override.is_delete()
        and any(x is None or isinstance(x, int | float) for x in names)
    ):
        raise UserError(f"{line!r} names no choice: jojoscl --help lists those of each group.")
    for name in (
        names if is_group(key) and not own_choices else []
    ):  # Hydra says it too, after seconds of imports
        if (
            isinstance(name, str)
            and not (conf_dir() / key / f"{name.removesuffix('.yaml')}.yaml").exists()
        ):
            raise UserError(f"{key} has no choice {name!r}{nearest(name, choices(key))}.")
    refuse_empty_sweeps([override])


def refuse_empty_sweeps(overrides: Iterable[Override]) -> None:
    """Raise a :class:`UserError` for a sweep over no value, such as a ``glob()`` that matches nothing."""
    for override in overrides:
        value = override.value()
        if isinstance(value, Glob):
            found, what = bool(value.filter(choices(str(override.key_or_group)))), "choice"
        else:
            found, what = (
                not override.is_discrete_sweep() or any(override.sweep_string_iterator()),
                "value",
            )
        if not found:
            raise UserError(
                f"{override.input_line!r} matches no {what}, so there is nothing to run: give at least one."
            )


def choices(group: str) -> list[str]:
    """Return the names of a group's YAML files."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def is_group(key: str) -> bool:
    """Return whether `key` names a folder of `conf/`."""
    return (conf_dir() / key).is_dir()


def known_keys(arguments: Sequence[str]) -> list[str]:
    """Return all settings, dotted, under the groups that the arguments choose as far as they can be composed."""
    given = parse([a for a in arguments if "=" in a and not a.startswith("-")])
    chosen = [o for o in given if is_group(str(o.key_or_group)) and not o.is_sweep_override()]
    try:
        cfg = compose([f"{o.key_or_group}={o.value()}" for o in chosen])
    except (HydraException, OmegaConfBaseException):
        cfg = compose()
    groups = [path.name for path in conf_dir().iterdir() if path.is_dir()]
    return [
        "hydra.run.dir",
        "hydra.sweep.dir",
        *groups,
        *_keys(OmegaConf.to_container(cfg, resolve=False)),
    ]


def _keys(node: object, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _keys(value, f"{prefix}{key}.")
