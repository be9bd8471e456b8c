"""Files appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from jojoscl.utils.errors import UserError

_FULL = ("ENOSPC", "EDQUOT", "EFBIG")
_WRONG = (
    "EACCES", "EROFS", "ENOTDIR", "EEXIST", "EISDIR", "EPERM", "EIO", "ELOOP", "ESTALE", "EINVAL", "EBUSY", "ENOTEMPTY",
)  # fmt: skip
_TEMPORARY = re.compile(r"\.jojoscl-(?P<where>[0-9a-f]{8})-(?P<pid>\d+)-")
_STALE_SECONDS = (
    7 * 24 * 3600.0
)  # of a temporary whose process cannot be asked for, on another machine


def conf_dir() -> Path:
    """Return the folder of the YAML files: inside the installed package, or beside `src` in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.exists() else Path(__file__).parents[3] / "conf"


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffix; rename it to `path` if the block succeeds.

    Raises
    ------
    UserError
        The folder cannot be written, or the disk is full. `path` is then as it was before.
    """
    path = Path(path)
    temporary = path.parent / f"{_prefix()}{secrets.token_hex(4)}-{path.stem[:30]}{path.suffix}"
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.lstat()  # a name that is too long is told before the work
        try:
            temporary.touch()
            yield temporary
            temporary.replace(path)
        finally:
            delete(temporary)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As :func:`whole_file` for a folder; one that is there already, made by another process meanwhile, stays."""
    with _told(path), _new_folder(path.parent) as outer:
        temporary = Path(outer, path.name)
        temporary.mkdir()
        yield temporary
        try:
            temporary.rename(path)
        except OSError:  # which one it is depends on the system
            if not path.is_dir():
                raise


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder where the system keeps such; it is deleted after the block."""
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UserError(
            "No folder for temporary files can be written: name one by TMPDIR."
        ) from error
    sweep_temporaries(parent)
    with _told(parent), _new_folder(parent) as path:
        yield Path(path)


def sweep_temporaries(folder: Path) -> None:
    """Delete what killed processes of ours left half-written in `folder`; what a live one writes stays.

    A temporary of another machine, whose processes cannot be asked for, has to be a week old.
    """
    with suppress(OSError):  # no such folder, not ours to see, or another process sweeps too
        for path in folder.iterdir():
            if (name := _TEMPORARY.match(path.name)) and _is_stale(
                path, name["where"], int(name["pid"])
            ):
                delete(path)


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, where that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what :func:`unwritable` says of an error that is met in the block, which writes `path`."""
    try:
        yield
    except OSError as error:
        if problem := unwritable(path, error):
            raise problem from error
        raise


def unwritable(path: str | os.PathLike[str], error: OSError) -> UserError | None:
    """Return what to say of `error`, met in writing `path`, if a full disk or a wrong name or folder is its cause."""
    code = errno.errorcode.get(error.errno or 0)
    if code in _FULL:
        return UserError(f"No space left to write {path}: free some disk or choose another folder.")
    if code == "ENAMETOOLONG":
        return UserError(
            f"{path} cannot be written, as its name is too long: choose a shorter one."
        )
    if code == "ENOENT" and path and not Path(path).absolute().parent.is_dir():
        return UserError(
            f"{path} cannot be written, as its folder is gone: make it, or choose another."
        )
    if code in _WRONG:
        return UserError(f"{path} cannot be written ({error.strerror}): choose another folder.")
    return None


def _new_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=parent, prefix=_prefix(), ignore_cleanup_errors=True)


def _prefix() -> str:
    return f".jojoscl-{_where()}-{os.getpid()}-"


def _where() -> str:
    """Return a name for the machine, or the container, whose processes the numbers stand for."""
    numbers = Path("/proc/self/ns/pid")
    inside = os.readlink(numbers) if numbers.is_symlink() else ""
    return f"{zlib.crc32(f'{socket.gethostname()} {inside}'.encode()):08x}"


def _is_stale(path: Path, where: str, pid: int) -> bool:
    if where != _where():
        return time.time() - path.lstat().st_mtime > _STALE_SECONDS
    return not psutil.pid_exists(pid)
