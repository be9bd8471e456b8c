"""Files that appear whole or not at all: names, folders that vanish, full disks."""

import errno
import os
from pathlib import Path

import pytest

from jojoscl.utils.errors import UserError
from jojoscl.utils.files import TEMPORARY, choices, conf_dir, unwritable, whole_file


def test_a_file_appears_whole(tmp_path: Path) -> None:
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


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_too_long_is_refused(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name in ["x" * 300, "ü" * 200]:
        with subtests.test(name=name):
            with (
                pytest.raises(
                    UserError,
                    match=r"cannot be written \(File name too long\): choose another path",
                ),
                whole_file(tmp_path / name) as temporary,
            ):
                temporary.write_text("new")
            assert not list(tmp_path.iterdir())


def test_a_long_name_that_the_system_takes(tmp_path: Path) -> None:
    with whole_file(tmp_path / ("x" * 251 + ".csv")) as temporary:
        temporary.write_text("new")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_removed_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (
        pytest.raises(UserError, match=r"run/a cannot be written \(No such file or directory\)"),
        whole_file(tmp_path / "run" / "a"),
    ):
        (tmp_path / "run").rename(tmp_path / "moved")


def test_another_file_that_is_missing_is_not_told_as_ours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        (tmp_path / "other").read_text()


def test_words_for_errors_of_the_system(subtests: pytest.Subtests) -> None:
    for number, words in [
        ("ENOSPC", "No space left to write x/a: free some disk"),
        ("EDQUOT", "No space left"),
        ("EFBIG", "No space left"),
        ("EROFS", r"cannot be written \(Read-only file system\): choose another path"),
        ("ENAMETOOLONG", "File name too long"),
        ("ENOENT", "No such file"),
    ]:
        with subtests.test(number=number):
            error = OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
            with pytest.raises(UserError, match=words):
                raise unwritable("x/a", error) or error


def test_errors_that_are_none_of_writing(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "a", OSError(errno.ENOENT, "no such file")) is None
    assert unwritable(tmp_path / "a", OSError(errno.ECONNRESET, "network")) is None
    assert unwritable(tmp_path / "a", OSError("of a library")) is None


def test_the_folder_is_there_and_lists_its_choices() -> None:
    assert (conf_dir() / "train.yaml").exists()
    assert {"jojoscl", "leiden"} <= set(choices("method"))
    assert choices("no such group") == []
