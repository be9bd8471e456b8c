"""Public files: found by name in a folder, or downloaded into it, and verified before anyone reads them."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pooch

from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

log = logging.getLogger(__name__)

ROOT_VARIABLE = "JOJOSCL_DATA_ROOT"


@dataclass(frozen=True)
class RemoteFile:
    """One public file.

    name: its name in the data folder. url: where it comes from, at a fixed version.
    checksum: ``sha256:...``, ``git:...`` (a git blob id), or None when its source publishes none: then the
    checksum of the first copy seen is kept beside the file, as ``<name>.sha256``, and holds from then on.
    """

    name: str
    url: str
    checksum: str | None = None


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The data folder: `root`, else what JOJOSCL_DATA_ROOT says, else the user's cache."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or pooch.os_cache("jojoscl")).expanduser()


def fetch(file: RemoteFile, root: Path) -> Path:
    """The path of `file` in `root`; it is downloaded only when it is not there, and verified in both cases.

    Raises
    ------
    UserError
        The download failed, or the content is not the published one. No bad download is left behind.
    """
    path = root / file.name
    if path.exists():
        if not matches(path, _expected(file, path)):
            raise UserError(
                f"{path} is not the published file ({_expected(file, path)} does not match): delete it so "
                f"that it is downloaded again, or give another folder by data.root or {ROOT_VARIABLE}."
            )
    else:
        _download(file, path)
    if file.checksum is None:
        _trust(path)
    return path


def matches(path: Path, checksum: str | None) -> bool:
    """Whether the file has this ``sha256:`` or ``git:`` checksum (None matches anything)."""
    if checksum is None:
        return True
    scheme, _, expected = checksum.partition(":")
    return digest(path, scheme) == expected


def digest(path: Path, scheme: str) -> str:
    """The checksum of a file by `scheme`: ``sha256``, or ``git``, the id that git gives to its content."""
    state = hashlib.sha256() if scheme == "sha256" else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            state.update(block)
    return state.hexdigest()


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
                f"{file.url} could not be downloaded ({type(error).__name__}): connect and try again, or get "
                f"it by other means and save it as {path}, or name a folder that holds {file.name} by "
                f"data.root or {ROOT_VARIABLE}."
            ) from error
        if not matches(temporary, file.checksum):
            raise UserError(
                f"What {file.url} sent is not the published file ({file.checksum} does not match): try "
                f"again, or save a good copy as {path}."
            )


def _expected(file: RemoteFile, path: Path) -> str | None:
    if file.checksum is not None:
        return file.checksum
    record = _record(path)
    return f"sha256:{record.read_text().split()[0]}" if record.exists() else None


def _trust(path: Path) -> None:
    """Keep the checksum of the first copy seen of a file whose source publishes none."""
    record = _record(path)
    if record.exists():
        return
    value = digest(path, "sha256")
    log.warning("%s: its source publishes no checksum; trusting this copy, sha256 %s", path.name, value)
    try:
        with whole_file(record) as temporary:
            temporary.write_text(f"{value}  {path.name}\n")
    except UserError as error:  # a folder that one may only read
        log.warning("the checksum of %s is not kept: %s", path.name, error)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
