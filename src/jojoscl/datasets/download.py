"""Public files: found by name in a folder, or downloaded into it, and verified."""

import hashlib
import logging
import os
from pathlib import Path

import pooch

from jojoscl.utils.errors import UserError
from jojoscl.utils.files import is_there, reading, unwritable

log = logging.getLogger(__name__)

ROOT_VARIABLE = "JOJOSCL_DATA_ROOT"
HUGE = 1 << 31  # bytes above which a file is identified by its size and time, not by its content


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the data folder: `root`, else that of JOJOSCL_DATA_ROOT, else the user's cache."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or pooch.os_cache("jojoscl")).expanduser()


def fetch(root: Path, name: str, url: str, checksum: str | None = None) -> Path:
    """Return the path of a public file in the data folder; it is downloaded if it is not there.

    Parameters
    ----------
    root, name
        The data folder, and the file's name in it.
    url
        Where it comes from, at a fixed version.
    checksum
        ``sha256:...``, or ``git:...`` (a blob's id), or None where its source publishes none.

    Raises
    ------
    UserError
        The download failed and nothing is left of it, or the content is not the published one.
    """
    path = root / name
    if fresh := not path.exists():
        _download(url, path)
    kind, _, published = (checksum or "").partition(":")
    with reading(path):
        if not kind or digest(path, kind) == published:
            return path
    if fresh:
        path.unlink()
    way = "try again, or save a good copy there" if fresh else "delete it, or change data.root"
    raise UserError(f"{path} is not the published file {url} ({checksum}): {way}.")


def stamp(path: Path) -> dict[str, object]:
    """Return what tells the content of a file, or of a zarr's folder, from another.

    Size and SHA-256 of a file; size and time of a very large one; of a folder the digest of names,
    sizes and times. Nothing where there is no such file.
    """
    if os.path.isdir(path):
        files = sorted(item for item in path.rglob("*") if item.is_file())
        stats = [(str(f.relative_to(path)), f.stat()) for f in files]
        parts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        return {"files": len(files), "sha256": hashlib.sha256(repr(parts).encode()).hexdigest()}
    if not is_there(path):
        return {}
    if (size := path.stat().st_size) > HUGE:
        return {"size": size, "mtime_ns": path.stat().st_mtime_ns}
    with reading(path):
        return {"size": size, "sha256": digest(path)}


def digest(path: Path, kind: str = "sha256") -> str:
    """Return the SHA-256 of a file's content, or of the kind "git" the id that git gives it."""
    state = hashlib.new("sha1", b"blob %d\0" % path.stat().st_size) if kind == "git" else None
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: state or hashlib.sha256()).hexdigest()


def _download(url: str, path: Path) -> None:
    """Download a file; pooch writes it under a temporary name and renames it once it is whole."""
    log.info("downloading %s to %s", url, path)
    pooch.get_logger().setLevel("WARNING")
    with_bar = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(url, None, path.name, path.parent, downloader=with_bar)
        path.chmod(0o644)  # for all who share the folder: a temporary file is its owner's alone
    except OSError as error:
        if error.errno is not None or isinstance(error, PermissionError):
            raise unwritable(path, error) or error from error
        # errors of the network, by requests, have no number
        if (response := getattr(error, "response", None)) is not None:
            response.close()  # pooch leaves the connection of a refused request open
        raise UserError(
            f"{url} could not be downloaded ({type(error).__name__}): try again, or save it "
            f"as {path}, or name a folder that holds it by data.root or {ROOT_VARIABLE}."
        ) from error
