"""Errors in one sentence: what is wrong and what to do."""

from __future__ import annotations

import re
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from jojoscl.runner.config import keys_of
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import conf_dir, unwritable

_NO_MEMORY = re.compile(r"out of memory|can(no|')t allocate|unable to allocate", re.I)
_KILLED = ("TerminatedWorkerError", "BrokenProcessPool", "ProcessExitedException")
_OF_DATA = re.compile(r"(?<=[ (])(layer|kind)=")  # as a call has them; in a command of data


def sentence(error: BaseException, folder: Path | None = None) -> str | None:
    """Return what to say of `error`, met in a run in `folder`; None for a defect of ours."""
    if isinstance(error, UserError):
        words = _OF_DATA.sub(r"data.\1=", str(error))
        return words.replace("give adata.T.", "change data.transpose.")
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explained(error)
    if isinstance(error, ValueError) and "group override must be" in str(error):  # Hydra's
        return "data=, method= and other groups take the name of a choice: see jojoscl --help."
    no_memory = isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(str(error))
    if isinstance(error, MemoryError) or no_memory:
        return (
            "There is not enough memory: read an h5ad by bands with data.backed=true, take fewer "
            "cells or genes, or allow more memory."
        )
    if type(error).__name__ in _KILLED:
        return "A process was killed, perhaps for lack of memory: the same command goes on."
    if isinstance(error, OSError) and error.errno:
        path = error.filename or folder or "A file"
        return str(unwritable(path, error) or f"{path} cannot be used ({error.strerror}).")
    return None


def explained(error: Exception) -> str:
    """Return an error of Hydra or OmegaConf in one sentence that names the nearest valid key."""
    message = str(error.__cause__ if not str(error) else error)
    message = message.removeprefix("UserError raised while resolving interpolation: ")
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group or 'jojoscl'} has no choice {name!r}{nearest(name, error.options)}."
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read: settings are given as key=value, and a value with "
            f"special characters is quoted twice, as in \"key='value'\"."
        )
    if found := re.search(
        r"Could not (?:override|append to|delete)(?: from config\.)? '([^'@]+)", message
    ):
        around = getattr(error.__cause__, "parent_node", None)  # where OmegaConf looked for it
        groups = (path.name for path in conf_dir().iterdir())
        full = re.search(rf"full_key: ({re.escape(found[1])}\S*)", str(error.__cause__))
        key = (full or found)[1]  # the full one is that of a key within {...}
        near = nearest(key, [*groups, *(keys_of(around._get_root()) if around else ())])
        near = near if "did you mean" in near else ": jojoscl --cfg job shows all"
        return f"There is no setting {key!r}{near}."
    if found := re.search(r"Ambiguous value for argument '(.+)'", message):
        return f"{found[1]!r} gives several values: add -m for a run with each, or write [1,2]."
    return message.splitlines()[0].rstrip(".") + "."
