"""Files appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jojoscl.utils.errors import UserError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffix; rename it to `path` if the block succeeds.

    Raises
    ------
    UserError
        The folder cannot be written, or the disk is full. `path` is then as it was before.
    """
    path = Path(path)
    temporary: Path | None = None
    with _told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As :func:`whole_file` for a folder; one that is there already, made by another process meanwhile, stays."""
    with _told(path), tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as name:
        temporary = Path(name) / path.name
        temporary.mkdir()
        yield temporary
        with suppress(FileExistsError):
            temporary.rename(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if problem := unwritable(path, error):
            raise problem from error
        raise


def unwritable(path: str | os.PathLike[str], error: OSError) -> UserError | None:
    """What to say of `error`, met in writing `path`, if a full disk or a wrong folder is its cause."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(f"No space left to write {path}: free some disk or choose another folder.")
    if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EPERM):
        return UserError(f"{path} cannot be written ({error.strerror}): choose another folder.")
    return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sweep_temporaries(folder: Path) -> None:
    """Placeholder until the branch that has it is merged."""
