"""Bad input as a user hands it in: one clear sentence, exit code 2, and nothing half-written."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import jojoscl
import jojoscl.runner.run
from jojoscl.runner.config import Resolved, compose
from jojoscl.runner.run import run
from tests.children import InProcess

COUNTS = np.random.default_rng(0).poisson(1.0, (30, 20)) + np.eye(30, 20)
QUICK = ("trainer.max_epochs=1", "trainer.progress_bar=false", "pictures=false",
         "method=jojoscl_paper", "method.encoder_dims=[8,4]")  # fmt: skip
OWN = ("data=h5ad", "data.path=cells.h5ad", "n_clusters=3", *QUICK)  # a file of the user's
SIMULATED = ("data=simulated", "data.n_cells=60", "data.n_genes=50", *QUICK)
IN_RUN = (*SIMULATED, "hydra.run.dir=run")  # a folder that holds a run already

Prepare = Callable[[Path], Any]


def user_cells(x: np.ndarray) -> AnnData:
    adata = AnnData(sp.csr_matrix(x, dtype=np.float64))
    adata.obs_names = [f"cell{i}" for i in range(len(x))]
    adata.var_names = [f"gene{i}" for i in range(x.shape[1])]
    return adata


def h5ad(adata: AnnData) -> Prepare:
    return lambda folder: adata.write_h5ad(folder / "cells.h5ad")


def with_value(position: Any, value: float) -> AnnData:
    x = COUNTS.copy()
    x[position] = value
    return user_cells(x)


def half_of(name: str, write: Prepare) -> Prepare:
    def write_half(folder: Path) -> None:
        write(folder)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return write_half


def text(name: str, content: str = "no cells") -> Prepare:
    return lambda folder: (folder / name).write_text(content)


def both(*prepare: Prepare) -> Prepare:
    return lambda folder: [step(folder) for step in prepare]


GOOD = h5ad(user_cells(COUNTS))

CASES: dict[str, tuple[Prepare | None, tuple[str, ...], str]] = {
    "no path": (None, ("data=h5ad",), "data.path=/path/to/cells.h5ad"),
    "missing file": (None, OWN, "cells.h5ad does not exist"),
    "truncated h5ad": (half_of("cells.h5ad", GOOD), OWN, "cells.h5ad cannot be read (Unable"),
    "negative": (h5ad(with_value((0, 0), -1)), OWN, "1 values are negative"),
    "no labels to count": (GOOD, (*OWN, "n_clusters=annotated"), "no annotated types to count"),
    "oracle without labels": (GOOD, (*OWN, "selection=oracle"), "selection=oracle needs annotated"),
    "more clusters than cells": (None, (*SIMULATED, "n_clusters=61"), "61 clusters were asked for"),
    "no method": (None, ("method=null",), "method= and other groups take the name of a choice"),
    "unknown value": (None, (*SIMULATED, "selection=orcle"), "(did you mean 'oracle'?)"),
    "out of range": (None, (*SIMULATED, "method.momentum=2"), "must be between 0 and 1, not 2"),
    "wrong precision": (None, (*SIMULATED, "trainer.precision=half"), "(Precision 'half' is inv"),
    "runs folder is a file": (both(GOOD, text("runs")), OWN, "cannot be written (Not a directory)"),
}  # fmt: skip


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_refused(
    in_process: InProcess, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = tree(folder)
    done = in_process(*arguments)
    assert done.code == 2
    assert words in done.err
    assert_one_sentence(done.err)
    assert tree(folder) == before


def assert_one_sentence(err: str) -> None:
    assert err.startswith("jojoscl: ")
    assert err.endswith(".\n")
    assert err.count("\n") == 1


def test_one_sentence_and_nothing_left(in_process, tmp_path, monkeypatch, subtests):
    for case, (prepare, arguments, words) in CASES.items():
        with subtests.test(case=case):
            (tmp_path / case).mkdir()
            monkeypatch.chdir(tmp_path / case)
            if prepare:
                prepare(tmp_path / case)
            assert_refused(in_process, tmp_path / case, arguments, words)


# ---- a folder that holds another run, or a damaged one -------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of SIMULATED."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(Resolved.of(compose(SIMULATED)), folder)
    return folder


def without_metrics(folder: Path) -> None:
    (folder / "metrics.json").unlink()


def checkpoint(content: bytes | dict[str, Any]) -> Prepare:
    def write(folder: Path) -> None:
        without_metrics(folder)
        path = folder / "last.ckpt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)

    return write


FOLDERS: dict[str, tuple[Prepare, tuple[str, ...], str]] = {
    "metrics of other settings": (lambda folder: None, ("seed=5",), "holds a run with other set"),
    "metrics cut short": (text("metrics.json", '{"ari": 0.'), (), "metrics.json cannot be read"),
    "checkpoint of other settings": (
        without_metrics, ("method.momentum=0.25",), "(momentum: 0.5 there, 0.25 here)",
    ),
    "checkpoint of other cells": (without_metrics, ("data.seed=9",), "other settings (config_hash: "),
    "damaged checkpoint": (checkpoint(b"x" * 99), (), "is not a checkpoint that can be read"),
    "checkpoint of something else": (checkpoint({"x": 1}), (), "is not a checkpoint that can be"),
}  # fmt: skip


def test_only_force_changes_the_folder_of_another_run(
    in_process, tmp_path, finished, monkeypatch, subtests
):
    for case, (prepare, overrides, words) in FOLDERS.items():
        with subtests.test(case=case):
            shutil.copytree(finished, tmp_path / case / "run")
            monkeypatch.chdir(tmp_path / case)
            prepare(tmp_path / case / "run")
            assert_refused(in_process, tmp_path / case, (*IN_RUN, *overrides), words)
            if "checkpoint of" not in case:
                done = in_process(*IN_RUN, *overrides, "force=true")
                assert (done.code, done.err) == (0, "")
                metrics = (tmp_path / case / "run" / "metrics.json").read_text()
                assert json.loads(metrics)["n_cells"] == 60


def test_force_with_a_wrong_setting_forgets_nothing(in_process, tmp_path, finished):
    shutil.copytree(finished, tmp_path / "run")
    assert_refused(in_process, tmp_path, (*IN_RUN, "force=true", "n_clusters=many"), "n_clusters")


# ---- no space ------------------------------------------------------------------------------------


def disk_full(path: Path, *_: Any) -> None:
    """In place of what writes a file: half of it, then the error of the system."""
    with path.open("wb") as file:
        file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["labels.csv", "losses.png", "last.ckpt"])
def test_no_space_left(in_process, tmp_path, finished, monkeypatch, name):
    (tmp_path / "run").mkdir()
    shutil.copy(finished / "labels.csv", tmp_path / "run")
    before = tree(tmp_path / "run")
    write = jojoscl.runner.run.write_whole

    def write_or_fail(path: Path, content: Any) -> None:
        with monkeypatch.context() as patch:
            if path.name == name:
                patch.setattr(Path, "write_bytes", disk_full)
            write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(jojoscl.runner.run, "write_whole", write_or_fail)
        if name == "last.ckpt":
            patch.setattr(L.Trainer, "save_checkpoint", lambda self, path: disk_full(path))
        done = in_process(*IN_RUN, f"pictures={name == 'losses.png'}")
    assert done.code == 2
    assert_one_sentence(done.err)
    assert f"No space left to write {tmp_path / 'run' / name}: free some disk" in done.err
    after = tree(tmp_path / "run")
    assert not [path for path in after if Path(path).name.startswith(".")]
    assert "metrics.json" not in after, "the run is not taken for a finished one"
    assert (name in after) is (name in before)
    assert after["labels.csv"] == before["labels.csv"]
    assert in_process(*IN_RUN).code == 0, "with space again, the same command goes on"
