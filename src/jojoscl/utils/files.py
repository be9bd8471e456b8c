"""Files that are written appear whole or not at all; one that cannot be read costs a sentence."""

import errno
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jojoscl.utils.errors import UserError

TEMPORARY = ".jojoscl-"  # begins the name of what :func:`whole_file` is writing
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def conf_dir() -> Path:
    """Return the folder `conf`: inside the installed package, or beside `src` in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.exists() else Path(__file__).parents[3] / "conf"


def choices(group: str) -> list[str]:
    """Return the names of a group's YAML files."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; rename it if the block succeeds.

    Raises
    ------
    UserError
        The folder cannot be written, or the disk is full. `path` is then as it was before.
    """
    path = Path(path)
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(6)}-{path.stem[:30]}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if problem := unwritable(path, error):
            raise problem from error
        raise
    finally:
        delete(temporary)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, which appears whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def delete(path: Path) -> None:
    """Delete a file, where that is possible."""
    with suppress(OSError):
        path.unlink()


def unwritable(path: str | os.PathLike[str], error: OSError) -> UserError | None:
    """Return what to say of `error`, met in writing `path`; None if it is about something else."""
    if error.errno in _FULL:
        return UserError(f"No space left to write {path}: free some disk or choose another folder.")
    if error.errno == errno.ENOENT and Path(path).absolute().parent.is_dir():
        return None  # another file is missing, not the folder of this one
    if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
        return None  # of a network, or of a library
    return UserError(f"{path} cannot be written ({error.strerror}): choose another path.")


def is_there(path: Path) -> bool:
    """Return whether `path` is a file or the folder of a zarr store."""
    return any(os.path.isfile(p) for p in (path, path / "zarr.json", path / ".zgroup"))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a parser raises on a missing or damaged file into one sentence."""
    try:
        if not is_there(path):
            raise UserError(f"{path} does not exist, or is not a file: give another path.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, MemoryError):
        raise
    except PermissionError as error:
        raise UserError(f"{path} cannot be read (no permission): make it readable.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read: save its text as UTF-8.") from error
    except Exception as error:  # a damaged file can make a parser raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"{path} cannot be read ({reason}): it may be damaged.") from error
