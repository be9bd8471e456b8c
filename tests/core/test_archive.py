"""A file of parts: paths that cannot be, and files that would do harm."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jojoscl
from jojoscl.core.fitted import Fitted
from jojoscl.utils.errors import UserError


def test_a_path_that_is_none(model: Fitted, subtests: pytest.Subtests) -> None:
    for wrong in [None, 5, ""]:
        with subtests.test(wrong=wrong):
            for call in (jojoscl.load, model.save):
                with pytest.raises(UserError, match="The path of a model must be a name"):
                    call(wrong)


def test_a_path_that_cannot_be(model: Fitted, path: Path) -> None:
    for wrong in (path.parent / ("x" * 300 + ".npz"), path / "inside.npz"):
        with pytest.raises(UserError, match="cannot be written"):
            model.save(wrong)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("the file was run",)


def hostile(path: Path, what: str) -> None:
    """Write a file that does harm to one who trusts it."""
    if what == "pickle":
        path.write_bytes(pickle.dumps(_Runs()))
    elif what == "object":
        np.savez(path, header=np.array([_Runs()], dtype=object))
    elif what == "bomb":
        np.savez_compressed(path, header=np.zeros(1 << 24, np.uint8))
    else:
        text = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
        content = b"\x93NUMPY\x01\x00v\x00" + text.encode().ljust(117) + b"\n" + b"\0" * 64
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.npy", content)


def test_a_hostile_file_is_not_run_and_takes_no_memory(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for what in ["pickle", "object", "bomb", "huge"]:
        with subtests.test(what=what):
            hostile(tmp_path / "x.npz", what)
            with pytest.raises(UserError, match=r"x.npz cannot be read \("):
                jojoscl.load(tmp_path / "x.npz")


def test_a_foreign_file_and_none_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="it is no model of jojoscl"):
        jojoscl.load(tmp_path / "x.npz")
    with pytest.raises(UserError, match="does not exist"):
        jojoscl.load(tmp_path / "y.npz")
