"""Errors in one sentence: what is wrong and what to do."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from jojoscl.runner.arguments import known_keys
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import unwritable

_NO_MEMORY = re.compile(
    r"out of memory|can(no|')t allocate|unable to allocate|failed to map|start new thread", re.I
)
_NOT_READABLE = (errno.EACCES, errno.EPERM, errno.EIO)
_LOST_PROCESS = ("TerminatedWorkerError", "BrokenProcessPool", "ProcessExitedException")


def sentence(error: BaseException, folder: Path | None = None) -> str | None:
    """Return what to say of `error`, met in a run in `folder`; None for a defect of ours, which keeps its traceback."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explain(error)
    if out_of_memory(error):
        return (
            "There is not enough memory: read an h5ad by bands with data.backed=true, take fewer cells or genes, "
            "or allow more memory."
        )
    if lost_process(error):
        return "A process of this command was killed, perhaps for lack of memory: the same command goes on."
    return of_system(error, folder) if isinstance(error, OSError) and error.errno else None


def out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, as Python, numpy, torch, CUDA or the loader of libraries says it."""
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    ):
        return True
    return isinstance(error, RuntimeError | ImportError) and bool(_NO_MEMORY.search(str(error)))


def lost_process(error: BaseException) -> bool:
    """Return whether a process that this one had started was killed."""
    return type(error).__name__ in _LOST_PROCESS


def of_system(error: OSError, folder: Path | None) -> str:
    """Return what to say of an error of the system that nobody has told yet."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else folder
    reason = error.strerror or type(error).__name__
    if error.errno == errno.ENAMETOOLONG:
        name = max(path.parts, key=len) if path and path.parts else "It"
        return f"The name {name[:40]}... is too long for this disk: choose a shorter one."
    if folder and not folder.exists():
        return f"{folder} was removed during the run: the same command starts it anew."
    if path and path.is_file() and folder not in path.parents and error.errno in _NOT_READABLE:
        return f"{path} cannot be read ({reason}): check who may read it."
    problem = unwritable(path, error) if path else None
    return (
        str(problem)
        if problem
        else f"{path or 'A file'} cannot be used ({reason}): check the path, then try again."
    )


def explain(error: Exception) -> str:
    """Return Hydra's and OmegaConf's errors in one sentence that names the nearest valid key or value."""
    message = str(error).removeprefix("UserError raised while resolving interpolation: ")
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group or 'jojoscl'} has no choice {name!r}{nearest(name, error.options)}."
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        way = "settings are given as key=value"
        if key and equals and value.count("[") == value.count("]"):
            way = f"""quote the value for jojoscl and all for the shell, as in "{key}='{value}'\""""
        return f"{error.override!r} cannot be read: {way}."
    if found := re.search(
        r"Could not (?:override|append to|delete|delete from config\.) '([^'@]+)", message
    ):
        near = nearest(found[1], known_keys(sys.argv[1:]))
        return f"There is no setting {found[1]!r}{near if 'did you mean' in near else ': jojoscl --cfg job shows all'}."
    if found := re.search(r"Ambiguous value for argument '(.+)'", message):
        return f"{found[1]!r} gives several values: add -m for a run with each, or write a list as [1,2]."
    return message.splitlines()[0].rstrip(".") + "."
