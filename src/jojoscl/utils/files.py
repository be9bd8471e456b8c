"""Files that are written appear whole or not at all; one that cannot be read costs a sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jojoscl.utils.errors import UserError

_TEMPORARY = ".jojoscl-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; rename it if the block succeeds.

    Raises
    ------
    UserError
        The folder cannot be written, or the disk is full. `path` is then as it was before.
    """
    path = Path(path)
    temporary = path.parent / f"{_TEMPORARY}{secrets.token_hex(6)}-{path.stem[:30]}{path.suffix}"
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.lstat()  # a name that is too long is refused before the work
        try:
            temporary.touch()
            yield temporary
            temporary.replace(path)
        finally:
            delete(temporary)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder where the system keeps such; it is deleted after the block."""
    parent = tempfile.gettempdir()
    with (
        _explained(parent),
        tempfile.TemporaryDirectory(prefix="jojoscl-", ignore_cleanup_errors=True) as path,
    ):
        yield Path(path)


def temporaries(folder: Path) -> list[Path]:
    """Return what :func:`whole_file` is writing in `folder`, or was when its process was killed."""
    return sorted(folder.glob(f"{_TEMPORARY}*"))


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
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what :func:`unwritable` says of an error that is met in the block, which writes."""
    try:
        yield
    except OSError as error:
        if problem := unwritable(path, error):
            raise problem from error
        raise


def unwritable(path: str | os.PathLike[str], error: OSError) -> UserError | None:
    """Return what to say of `error`, met in writing `path`; None if it is about something else."""
    if error.errno in _FULL:
        return UserError(f"No space left to write {path}: free some disk or choose another folder.")
    if error.errno == errno.ENAMETOOLONG:
        return UserError(
            f"{path} cannot be written, as its name is too long: choose a shorter one."
        )
    if error.errno == errno.ENOENT and Path(path).absolute().parent.is_dir():
        return None  # another file is missing, not the folder of this one
    if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
        return None  # of a network, or of a library
    reason = "its folder is gone" if error.errno == errno.ENOENT else error.strerror
    return UserError(f"{path} cannot be written ({reason}): choose another folder.")


def is_there(path: Path) -> bool:
    """Return whether `path` is a file or the folder of a zarr store."""
    return any(os.path.isfile(p) for p in (path, path / "zarr.json", path / ".zgroup"))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a parser raises on a missing or damaged file into one sentence."""
    try:
        if not is_there(path):
            raise UserError(
                f"{path} does not exist, or is not a file: give the path of an existing one."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, MemoryError):
        raise
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be read (no permission): make it readable, for instance by chmod u+r, "
            "or copy it."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} cannot be read, as its text is not UTF-8: save it as UTF-8, for instance by "
            "iconv -f latin1 -t utf-8."
        ) from error
    except Exception as error:  # a damaged file can make a parser raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"{path} cannot be read ({reason}): it may be damaged, get it again."
        ) from error
