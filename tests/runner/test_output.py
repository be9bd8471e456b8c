"""The run folder: one owner, a log that is mended, files that are whole, the commit."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from jojoscl.runner import output
from jojoscl.runner.output import git_commit, h5ad_bytes, mend_log, owned


def test_a_second_owner_waits_for_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder, order = tmp_path / "run", []

    def second() -> None:
        with owned(folder):
            order.append("second")

    with owned(folder):
        thread = threading.Thread(target=second)
        thread.start()
        while not caplog.messages:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert caplog.messages == [f"{folder} is being run by another process: waiting for it"]
    assert not list(folder.iterdir()), "nothing is left"


def test_an_error_lets_go_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), owned(tmp_path):
        raise RuntimeError
    with owned(tmp_path):
        pass


@pytest.mark.parametrize("doubled", [[0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2], [0, 1, 1, 2]])
def test_a_doubled_log_is_mended(tmp_path: Path, doubled: list[int]) -> None:
    path = tmp_path / "metrics.csv"
    pd.DataFrame({"epoch": doubled, "loss": np.arange(len(doubled)) / 3}).to_csv(path, index=False)
    last = pd.read_csv(path).drop_duplicates("epoch", keep="last").sort_values("epoch", ignore_index=True)
    mend_log(path)
    pd.testing.assert_frame_equal(pd.read_csv(path), last, check_exact=True)


def test_a_second_header_in_a_log_is_taken_away_and_a_good_log_left(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n0,.5\nepoch,loss\n0,.5\n1,.25\n")
    mend_log(path)
    assert path.read_text() == "epoch,loss\n0,.5\n1,.25\n"
    written = path.stat().st_mtime_ns
    mend_log(path)
    assert path.stat().st_mtime_ns == written


def test_an_h5ad_in_memory_is_what_anndata_writes(tmp_path: Path, cells: AnnData) -> None:
    adata = AnnData(obs=cells.obs.copy(), obsm={"X_a": np.eye(120, 3)}, uns={"b": {"c": [1, 2], "d": "e"}})
    (tmp_path / "a.h5ad").write_bytes(h5ad_bytes(adata))
    adata.write_h5ad(tmp_path / "b.h5ad")
    a, b = (ad.read_h5ad(tmp_path / name) for name in ("a.h5ad", "b.h5ad"))
    pd.testing.assert_frame_equal(a.obs, b.obs)
    np.testing.assert_array_equal(a.obsm["X_a"], b.obsm["X_a"])
    assert a.uns["b"]["d"] == b.uns["b"]["d"] == "e"


def no_git(*_: Any, **__: Any) -> None:
    raise FileNotFoundError("git")


def failing_git(*_: Any, **__: Any) -> None:
    raise subprocess.CalledProcessError(128, "git")


def hanging_git(*_: Any, **__: Any) -> None:
    raise subprocess.TimeoutExpired("git", 30)


@pytest.mark.parametrize("git", [no_git, failing_git, hanging_git])
def test_a_run_needs_no_git(monkeypatch: pytest.MonkeyPatch, git: Any) -> None:
    monkeypatch.setattr(subprocess, "run", git)
    assert git_commit() is None


def test_without_git_on_the_path_or_a_checkout_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(os.environ, "PATH", str(tmp_path))
        assert git_commit() is None
    monkeypatch.setattr(output, "__file__", str(tmp_path / "site-packages" / "jojoscl" / "runner" / "output.py"))
    assert git_commit() is None
