"""Errors in one sentence; a defect of ours in none."""

import errno
import os

import numpy as np
import pytest
from hydra.errors import HydraException

from jojoscl.runner.cli import sentence
from jojoscl.runner.config import compose, parse
from jojoscl.utils.errors import UserError


def test_no_memory_is_one_sentence():
    for error in (
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**9, 10**9), np.dtype(float)),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ):
        words = "There is not enough memory: allow more, or"
        assert (sentence(error) or "").startswith(words), repr(error)


def test_errors_of_files_say_which_and_what_to_do(tmp_path):
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "mine.h5"))
    full = OSError(errno.ENOSPC, "No space left on device")
    assert sentence(denied, tmp_path) == (
        f"{tmp_path}/mine.h5 cannot be written (Permission denied): choose another path."
    )
    assert sentence(full, tmp_path) == (
        f"No space left to write {tmp_path}: free some disk or choose another folder."
    )


def test_words_of_a_call_become_words_of_the_command_and_a_defect_has_none():
    assert sentence(UserError("Wrong.")) == "Wrong."
    python = UserError("give kind='counts', or name the layer by layer= (layer='raw' if ...)")
    assert sentence(python) == (
        "give data.kind='counts', or name the layer by data.layer= (data.layer='raw' if ...)"
    )
    assert sentence(UserError("data.kind=rpkm: give adata.T.")) == (
        "data.kind=rpkm: change data.transpose."
    )
    assert sentence(RuntimeError("a defect of ours")) is None
    assert sentence(OSError("of a library, without a number")) is None


def test_errors_of_hydra_are_one_sentence(subtests):
    for argument, words in [
        ("data=blader", "data has no choice 'blader' (did you mean 'bladder'?)."),
        ("preprocess.log1p=true", "no setting 'preprocess.log1p' (did you mean 'method."),
        ("sead=1", "There is no setting 'sead' (did you mean 'seed'?)."),
        ("xyzzyqwfp=1", "There is no setting 'xyzzyqwfp': jojoscl --cfg job shows all."),
        ("method.n_drws=1", "no setting 'method.n_drws' (did you mean 'method.n_draws'"),
        ("hydra.run.dirr=a", "(did you mean 'hydra.run.dir'?)"),
        ("seed", "'seed' cannot be read: write key=value"),
        ("name=größe", "a value with special characters in two quotes, \"key='value'\"."),
        ("method.hidden=[1,", "cannot be read: write key=value"),
        ("seed=1,2", "'seed=1,2' gives several values: add -m"),
    ]:
        with subtests.test(argument=argument):
            with pytest.raises(HydraException) as error:
                parse([argument]), compose([argument])
            assert words in (said := sentence(error.value) or "")
            assert "\n" not in said
