"""Public files: found by name in a folder, or downloaded into it, and verified before anyone reads them."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pooch

from jojoscl.cells.guard import reading
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import digest, whole_file

log = logging.getLogger(__name__)

ROOT_VARIABLE = "JOJOSCL_DATA_ROOT"
HUGE = 1 << 31  # bytes from which on a file is told by its size and time, not by what is in it


@dataclass(frozen=True)
class RemoteFile:
    """One public file.

    name: its name in the data folder. url: where it comes from, at a fixed version. checksum:
    ``sha256:...``, or ``git:...`` (a blob's id), or None where its source publishes none.
    """

    name: str
    url: str
    checksum: str | None = None


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the data folder: `root`, else what JOJOSCL_DATA_ROOT says, else the user's cache."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or pooch.os_cache("jojoscl")).expanduser()


def fetch(file: RemoteFile, root: Path) -> Path:
    """Return the path of `file` in `root`; it is downloaded only when it is not there, and verified in both cases.

    A :class:`UserError` says that the download failed, or that the content is not the published
    one. No bad download is left behind.
    """
    path = root / file.name
    if not path.exists():
        _download(file, path)
        return path
    with reading(path):
        if not _is_published(file, path):
            raise UserError(
                f"{path} is not the published file ({file.checksum} does not match): delete it so that it is "
                f"downloaded again, or give another folder by data.root or {ROOT_VARIABLE}."
            )
    return path


def stamp(path: Path) -> dict[str, object]:
    """Return what tells the content of a file, or of the folder of a zarr, from another; nothing where it is missing.

    Size and SHA-256 of a file, size and time of a very large one; of a folder the digest of names,
    sizes and times.
    """
    try:
        if path.is_dir():
            files = sorted(item for item in path.rglob("*") if item.is_file())
            parts = [
                (str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files
            ]
            return {"files": len(files), "sha256": hashlib.sha256(repr(parts).encode()).hexdigest()}
        size, time = path.stat().st_size, path.stat().st_mtime_ns
        if size > HUGE or not path.is_file():
            return {"size": size, "mtime_ns": time}
        return {"size": size, "sha256": _sha256(path, size, time)}
    except (OSError, ValueError):
        return {}


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, time: int) -> str:
    """Return the digest of a file of this size and time, which a run asks for several times."""
    return digest(path)


def content(file: RemoteFile, path: Path) -> str | None:
    """Return the checksum of a public file: the published one, else that of the copy at `path`; None without both."""
    found = stamp(path).get("sha256")
    return file.checksum or (f"sha256:{found}" if found else None)


def _is_published(file: RemoteFile, copy: Path) -> bool:
    scheme, _, value = (file.checksum or "").partition(":")
    return not scheme or (git_id(copy) if scheme == "git" else digest(copy)) == value


def git_id(path: Path) -> str:
    """Return the id that git gives to the content of a file."""
    state = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: state).hexdigest()


def _download(file: RemoteFile, path: Path) -> None:
    log.info("downloading %s to %s", file.url, path)
    with whole_file(path) as temporary:
        try:
            pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16)(
                file.url, str(temporary), None
            )
        except OSError as error:  # those of the network (requests) are OSErrors without a number
            if error.errno is not None:
                raise
            if (response := getattr(error, "response", None)) is not None:
                response.close()  # pooch leaves the connection of a refused request open
            raise UserError(
                f"{file.url} could not be downloaded ({type(error).__name__}): connect and try again, or get it by "
                f"other means and save it as {path}, or name a folder that holds it by data.root or {ROOT_VARIABLE}."
            ) from error
        if not _is_published(file, temporary):
            raise UserError(
                f"What {file.url} sent is not the published file ({file.checksum} does not match): try again, or save "
                f"a good copy as {path}."
            )
