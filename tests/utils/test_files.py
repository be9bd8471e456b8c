"""Files that appear whole or not at all: names, folders that vanish, full disks."""

import errno
import os
from pathlib import Path

import pytest

from jojoscl.utils.errors import UserError
from jojoscl.utils.files import TEMPORARY, choices, conf_dir, unwritable, whole_file
from tests.small import assert_refused


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "below" / "a.csv"
    with whole_file(path) as temporary:
        assert temporary.suffix == ".csv"
        assert list(path.parent.glob(f"{TEMPORARY}*")) == [temporary]
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def write(path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("new")


def test_a_name_that_is_too_long_is_refused(tmp_path):
    words = r"cannot be written \(File name too long\): choose another path"
    assert_refused(write, *[(tmp_path / name, words) for name in ("x" * 300, "ü" * 200)])
    assert not list(tmp_path.iterdir())


def test_a_long_name_that_the_system_takes(tmp_path):
    write(tmp_path / ("x" * 251 + ".csv"))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_removed_meanwhile(tmp_path):
    (tmp_path / "run").mkdir()
    with (
        pytest.raises(UserError, match=r"run/a cannot be written \(No such file or directory\)"),
        whole_file(tmp_path / "run" / "a"),
    ):
        (tmp_path / "run").rename(tmp_path / "moved")


def test_an_error_of_another_file_passes_through(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        (tmp_path / "other").read_text()


def test_words_for_errors_of_the_system():
    def fail(name: str) -> None:
        error = OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
        raise unwritable("x/a", error) or error

    assert_refused(
        fail,
        ("ENOSPC", "No space left to write x/a: free some disk"),
        ("EDQUOT", "No space left"),
        ("EFBIG", "No space left"),
        ("EROFS", r"cannot be written \(Read-only file system\): choose another path"),
        ("ENAMETOOLONG", "File name too long"),
        ("ENOENT", "No such file"),
    )


def test_errors_that_are_none_of_writing(tmp_path):
    assert unwritable(tmp_path / "a", OSError(errno.ENOENT, "no such file")) is None
    assert unwritable(tmp_path / "a", OSError(errno.ECONNRESET, "network")) is None
    assert unwritable(tmp_path / "a", OSError("of a library")) is None


def test_the_folder_is_there_and_lists_its_choices():
    assert (conf_dir() / "train.yaml").exists()
    assert {"jojoscl", "leiden"} <= set(choices("method"))
    assert choices("no such group") == []
