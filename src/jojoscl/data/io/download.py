"""Public files: found by name in a folder, or downloaded into it, and verified before anyone reads them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import logging
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch

from jojoscl.data.io.guard import reading
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

log = logging.getLogger(__name__)

ROOT_VARIABLE = "JOJOSCL_DATA_ROOT"
HUGE = 1 << 31  # bytes from which on a file is told by its size and time, not by what is in it


@dataclass(frozen=True)
class RemoteFile:
    """One public file.

    name: its name in the data folder. url: where it comes from, at a fixed version. checksum: ``sha256:...``, or
    ``git:...`` (a blob's id), or None where there is none: that of the first copy is then kept in ``<name>.sha256``.
    """

    name: str
    url: str
    checksum: str | None = None


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the data folder: `root`, else what JOJOSCL_DATA_ROOT says, else the user's cache."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or pooch.os_cache("jojoscl")).expanduser()


def fetch(file: RemoteFile, root: Path) -> Path:
    """Return the path of `file` in `root`; it is downloaded only when it is not there, and verified in both cases.

    A :class:`UserError` says that the download failed, or that the content is not the published or recorded one. No bad
    download is left behind.
    """
    path = root / file.name
    if path.exists():
        with reading(path):
            if problem := _problem(file, path, path):
                raise UserError(
                    f"{path} {problem}: delete it so that it is downloaded again, or give another folder by "
                    f"data.root or {ROOT_VARIABLE}."
                )
    else:
        _download(file, path)
    if file.checksum is None and not (record := _record(path)).exists():
        _trust(path, record)
    return path


def stamp(path: Path) -> dict[str, object]:
    """Return what tells the content of a file, or of the folder of a zarr, from another; nothing where it is missing.

    Size and SHA-256 of a file, size and time of a very large one; of a folder the digest of names, sizes and times.
    """
    try:
        if path.is_dir():
            files = sorted(item for item in path.rglob("*") if item.is_file())
            parts = [(str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
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
    return digest(path, "sha256")


def digest(path: Path, scheme: str) -> str:
    """Return the checksum of a file: ``sha256``, or ``git``, the id that git gives to its content."""
    state = hashlib.sha256() if scheme == "sha256" else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: state).hexdigest()


def _download(file: RemoteFile, path: Path) -> None:
    log.info("downloading %s to %s", file.url, path)
    with whole_file(path) as temporary:
        try:
            pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16)(file.url, str(temporary), None)
        except OSError as error:  # those of the network (requests) are OSErrors without a number
            if error.errno is not None:
                raise
            if (response := getattr(error, "response", None)) is not None:
                response.close()  # pooch leaves the connection of a refused request open
            raise UserError(
                f"{file.url} could not be downloaded ({type(error).__name__}): connect and try again, or get it by "
                f"other means and save it as {path}, or name a folder that holds it by data.root or {ROOT_VARIABLE}."
            ) from error
        if problem := _problem(file, path, temporary):
            raise UserError(f"What {file.url} sent {problem}: try again, or save a good copy as {path}.")


def recorded(file: RemoteFile, path: Path) -> str | None:
    """Return the checksum of a file: the published one, else that of the first copy seen; None before there was one."""
    record = _record(path)
    if file.checksum is not None or not record.exists():
        return file.checksum
    with reading(record):
        found = re.match(r"[0-9a-f]{64}\b", record.read_text())
    if found is None:
        raise UserError(f"{record} holds no checksum: delete it, and the copy of {path.name} is trusted anew.")
    return f"sha256:{found[0]}"


def _problem(file: RemoteFile, path: Path, copy: Path) -> str | None:
    """Return what is wrong with a copy of the file that is, or will be, at `path`."""
    if (expected := recorded(file, path)) is None:
        return _unsound(copy, path.name)
    scheme, _, value = expected.partition(":")
    if digest(copy, scheme) == value:
        return None
    if file.checksum is not None:
        return f"is not the published file ({expected} does not match)"
    return (
        f"is not the published file as it was first seen ({expected} in {_record(path)} does not match; where that "
        f"copy was the bad one, delete {_record(path).name} too)"
    )


def _unsound(path: Path, name: str) -> str | None:
    """Return what is wrong with a file of which no checksum is known: empty, a page of the web, or cut."""
    with path.open("rb") as handle:
        head = handle.read(512).lstrip().lower()
    if not head:
        return "is empty"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return "is a page of the web and not the published file"
    if name.endswith(".gz"):
        try:
            with gzip.open(path) as handle:
                while handle.read(1 << 20):
                    pass
        except (OSError, EOFError, zlib.error):
            return "is cut or damaged (it cannot be unpacked)"
    return None


def _trust(path: Path, record: Path) -> None:
    """Keep the checksum of the first copy seen of a file whose source publishes none."""
    value = digest(path, "sha256")
    log.warning("%s: its source publishes no checksum; trusting this copy, sha256 %s", path.name, value)
    try:
        with whole_file(record) as temporary:
            temporary.write_text(f"{value}  {path.name}\n")
    except UserError as error:  # a folder that one may only read
        log.warning("the checksum of %s is not kept: %s", path.name, error)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
