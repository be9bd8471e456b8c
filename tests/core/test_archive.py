"""A file of parts: paths that cannot be, and files that would do harm."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jojoscl
from tests.small import assert_refused


def test_a_path_that_is_none(model):
    for call in (jojoscl.load, model.save):
        assert_refused(call, *[(w, "The path of a model must be a name") for w in (None, 5, "")])


def test_a_path_that_cannot_be(model, path):
    wrong = (path.parent / ("x" * 300 + ".npz"), path / "inside.npz")
    assert_refused(model.save, *[(place, "cannot be written") for place in wrong])


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


def test_a_hostile_file_is_not_run_and_takes_no_memory(tmp_path):
    paths = [tmp_path / f"{what}.npz" for what in ("pickle", "object", "bomb", "huge")]
    for path in paths:
        hostile(path, path.stem)
    assert_refused(jojoscl.load, *[(path, f"{path.name} cannot be read .") for path in paths])


def test_a_foreign_file_and_none_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    assert_refused(
        jojoscl.load,
        (tmp_path / "x.npz", "it is no model of jojoscl"),
        (tmp_path / "y.npz", "does not exist"),
    )
