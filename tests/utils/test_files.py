"""Files that appear whole or not at all: names, folders that vanish, full disks, and what killed processes leave."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jojoscl.utils import files
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import (
    digest,
    sweep_temporaries,
    temporary_folder,
    unwritable,
    whole_file,
    whole_folder,
)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.csv"
    with whole_file(path) as temporary:
        assert temporary.suffix == ".csv"
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    for whole in (whole_file, whole_folder):
        with pytest.raises(ZeroDivisionError), whole(path) as temporary:
            (temporary / "a" if temporary.is_dir() else temporary).write_text(str(1 / 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_and_one_that_is_there_stays(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with whole_folder(tmp_path / "folder") as temporary:
            (temporary / "a").write_text(content)
    assert (tmp_path / "folder" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("number", ["EEXIST", "ENOTEMPTY", "EACCES", "EPERM", "EBUSY"])
def test_whatever_the_system_says_of_a_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(getattr(errno, number), number)

    monkeypatch.setattr(Path, "rename", refuse)
    (tmp_path / "folder").mkdir()
    with whole_folder(tmp_path / "folder"):
        pass
    with (
        pytest.raises(UserError, match=f"other cannot be written \\({number}\\)"),
        whole_folder(tmp_path / "other"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
@pytest.mark.parametrize("name", ["x" * 300, "ü" * 200])
def test_a_name_that_is_too_long_is_told_before_the_work(
    tmp_path: Path, whole: object, name: str
) -> None:
    worked = []
    with pytest.raises(UserError, match="its name is too long: choose a shorter one"):  # noqa: SIM117
        with whole(tmp_path / name) as temporary:  # type: ignore[operator]
            worked.append(temporary)
    assert not worked
    assert not list(tmp_path.iterdir())


def test_a_long_name_that_the_system_takes(tmp_path: Path) -> None:
    with whole_file(tmp_path / ("x" * 251 + ".csv")) as temporary:
        temporary.write_text("new")
    with whole_folder(tmp_path / ("y" * 255)):
        pass
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_folder_that_is_removed_meanwhile(tmp_path: Path, whole: object) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="run/a cannot be written, as its folder is gone"):  # noqa: SIM117
        with whole(tmp_path / "run" / "a"):  # type: ignore[operator]
            (tmp_path / "run").rename(tmp_path / "moved")


def test_another_file_that_is_missing_is_not_told_as_ours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        (tmp_path / "other").read_text()


@pytest.mark.parametrize(("number", "words"), [
    ("ENOSPC", "No space left to write x/a: free some disk"), ("EDQUOT", "No space left"), ("EFBIG", "No space left"),
    ("EROFS", "cannot be written .*: choose another folder"), ("EIO", "cannot be written"), ("ELOOP", "cannot be"),
    ("ENAMETOOLONG", "too long"), ("ENOENT", "its folder is gone"),
])  # fmt: skip
def test_words_for_errors_of_the_system(number: str, words: str) -> None:
    error = OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
    with pytest.raises(UserError, match=words):
        raise unwritable("x/a", error) or error


def test_errors_that_are_none_of_writing(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "a", OSError(errno.ENOENT, "no such file")) is None
    assert unwritable(tmp_path / "a", OSError(errno.ECONNRESET, "network")) is None


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 10**6)
    assert digest(tmp_path / "a") == hashlib.sha256(b"abc" * 10**6).hexdigest()


# ---- what killed processes leave -----------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from jojoscl.utils.files import whole_file, whole_folder
with whole_file(Path(sys.argv[1]) / "a.csv"), whole_folder(Path(sys.argv[1]) / "b") as folder:
    (folder / "part").write_text("half")
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    input()
"""


def test_temporaries_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "dies"], check=False)
    (tmp_path / "own.csv").write_text("stays")
    (tmp_path / ".jojoscl-notes").write_text("stays: no name of ours")
    assert len(list(tmp_path.iterdir())) == 4
    sweep_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".jojoscl-notes", "own.csv"]


def test_those_of_a_live_process_and_our_own_stay(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), "lives"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "writing\n"
        with whole_file(tmp_path / "c.csv") as ours, whole_folder(tmp_path / "d"):
            before = set(tmp_path.iterdir())
            assert len(before) == 4
            sweep_temporaries(tmp_path)
            assert set(tmp_path.iterdir()) == before
            ours.write_text("c")
        other.communicate("go on\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b", "c.csv", "d"]


@pytest.mark.parametrize(("days", "stays"), [(6, True), (8, False)])
def test_those_of_another_machine_stay_for_a_week(tmp_path: Path, days: int, stays: bool) -> None:
    path = tmp_path / ".jojoscl-00000000-1-abcd.csv"
    path.touch()
    os.utime(path, (time.time() - days * 86400,) * 2)
    sweep_temporaries(tmp_path)
    assert path.exists() is stays


def test_where_there_is_nothing_to_sweep(tmp_path: Path) -> None:
    sweep_temporaries(tmp_path / "none")
    (tmp_path / "file").touch()
    sweep_temporaries(tmp_path / "file")
    assert (tmp_path / "file").exists()


def test_a_temporary_folder_is_deleted_with_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        (folder / "below").mkdir()
        assert folder.stat().st_mode & 0o777 == 0o700, "others need not see the cells"
    assert not list(tmp_path.iterdir())
