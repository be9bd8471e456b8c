"""Downloads over loopback: verified, never left half-written, and clear words when something is wrong."""

import hashlib
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from jojoscl.datasets.download import data_root, digest, fetch, stamp
from jojoscl.utils.errors import UserError

CONTENT = b"cells and genes\n" * 1000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
GIT = "git:" + hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    requests = 0

    def do_GET(self):
        type(self).requests += 1
        self.send_response(404 if self.path == "/absent" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path in ("/cut", "/absent") else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def address(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    Handler.requests = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("checksum", [SHA256, GIT])
def test_download_once(address, tmp_path, checksum, capfd):
    file = ("data.h5", f"{address}/good", checksum)
    path = fetch(tmp_path / "new" / "folder", *file)
    assert path.read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err, "a progress bar"
    assert fetch(path.parent, *file) == path
    assert Handler.requests == 1
    assert [item.name for item in path.parent.iterdir()] == ["data.h5"]


def test_found_files_are_not_downloaded(tmp_path):
    (tmp_path / "data.h5").write_bytes(CONTENT)
    found = fetch(tmp_path, "data.h5", "http://127.0.0.1:9/unreachable", GIT)
    assert found.read_bytes() == CONTENT


def test_found_files_are_verified(tmp_path):
    (tmp_path / "data.h5").write_bytes(CONTENT[:-1])
    words = r"data\.h5 is not the published file .* delete it, or change data\.root"
    with pytest.raises(UserError, match=words):
        fetch(tmp_path, "data.h5", "http://127.0.0.1:9/unreachable", SHA256)
    assert (tmp_path / "data.h5").exists(), "a file of the user's is theirs to delete"


def test_bad_downloads_leave_nothing(address, tmp_path, subtests):
    for page, checksum, words in [
        ("good", SHA256.replace("a", "b"), "is not the published file"),
        ("good", GIT.replace("a", "b"), "is not the published file"),
        ("cut", SHA256, "could not be downloaded"),
        ("cut", None, "could not be downloaded"),
        ("absent", SHA256, "could not be downloaded"),
    ]:
        with subtests.test(page=page):
            with pytest.raises(UserError, match=words) as error:
                fetch(tmp_path, "data.h5", f"{address}/{page}", checksum)
            assert f"{address}/{page}" in str(error.value)
            assert not list(tmp_path.iterdir())


def test_offline_says_what_to_do(tmp_path):
    url = "http://127.0.0.1:9/data.h5"
    with pytest.raises(UserError) as error:
        fetch(tmp_path, "data.h5", url, SHA256)
    for part in (url, str(tmp_path / "data.h5"), "data.root", "JOJOSCL_DATA_ROOT"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(CONTENT[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, "data.h5", "http://127.0.0.1/x", None)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"choose another (path|folder)"):
        fetch(tmp_path / "file", "data.h5", "http://127.0.0.1:9/x", SHA256)


def test_stamps(tmp_path, monkeypatch):
    path = tmp_path / "a"
    assert stamp(path) == {}
    path.write_bytes(CONTENT)
    assert stamp(path) == {"size": len(CONTENT), "sha256": SHA256.removeprefix("sha256:")}
    monkeypatch.setattr("jojoscl.datasets.download.HUGE", 10)
    assert stamp(path) == {"size": len(CONTENT), "mtime_ns": path.stat().st_mtime_ns}
    (tmp_path / "folder" / "c").mkdir(parents=True)
    (tmp_path / "folder" / "c" / "0").write_bytes(b"x")
    first = stamp(tmp_path / "folder")
    assert (first["files"], first) == (1, stamp(tmp_path / "folder"))
    (tmp_path / "folder" / "c" / "0").write_bytes(b"xy")
    assert stamp(tmp_path / "folder") != first


def test_git_id_is_what_git_says(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    said = subprocess.run(
        ["git", "hash-object", "--no-filters", path], capture_output=True, text=True, check=True
    )
    assert digest(path, "git") == said.stdout.strip()


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("JOJOSCL_DATA_ROOT", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root("~/cells") == Path.home() / "cells"
    monkeypatch.delenv("JOJOSCL_DATA_ROOT")
    assert data_root().name == "jojoscl"
