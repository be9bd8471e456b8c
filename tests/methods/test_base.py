"""What all methods share: stages that add up to the wall time, also where a call continues one that was cut off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anndata import AnnData

from jojoscl.training.module import SeededModule
from jojoscl.training.settings import Run

SHORT: dict[str, tuple[str, ...]] = {
    "jojoscl": ("epochs=3", "min_steps=0", "n_dims=8", "min_dims=4"),
    "jojoscl_paper": ("epochs=3", "encoder_dims=[16,8]"),
    "jojoscl_released": ("epochs=3", "encoder_dims=[16,8]"),
    "sccl": ("epochs=3",),
    "contrastive_sc": ("epochs=3",),
    "scdeepcluster": ("pretrain_epochs=3", "epochs=3", "tolerance=0", "kmeans_starts=2"),
    "sczidesk": ("pretrain_epochs=3", "epochs=3", "tolerance=0", "kmeans_starts=2"),
    "seurat": ("preprocess.hvg_flavor=seurat",),
    "leiden_matched": (),
    "pca_kmeans": (),
    "random": (),
}


def timed(method: Any, cells: AnnData, run: Run) -> tuple[dict[str, float], float]:
    """Seconds by stage, and wall time."""
    started = time.perf_counter()
    seconds = method.fit_predict(cells, 3, run=run).seconds
    return seconds, time.perf_counter() - started


@pytest.mark.parametrize("name", SHORT)
def test_stages_add_up_to_the_wall_time(name: str, method: Callable[..., Any], bare: AnnData, quiet: Run) -> None:
    seconds, wall = timed(method(name, *SHORT[name]), bare, quiet)
    assert "earlier" not in seconds
    assert sum(seconds.values()) == pytest.approx(wall, rel=0.02, abs=0.002)
    assert seconds["other"] < 0.5 * wall or name == "random"


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["jojoscl", "jojoscl_paper", "scdeepcluster"])
def test_seconds_of_a_call_that_was_cut_off_stand_beside(
    name: str, method: Callable[..., Any], bare: AnnData, quiet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(quiet, folder=tmp_path, trainer=replace(quiet.trainer, checkpoint_seconds=0))
    epoch_start = SeededModule.on_train_epoch_start

    def slow_and_dying(module: SeededModule) -> None:
        if module.current_epoch == 2:
            raise Killed
        time.sleep(0.2)
        epoch_start(module)

    with monkeypatch.context() as patched:
        patched.setattr(SeededModule, "on_train_epoch_start", slow_and_dying)
        with pytest.raises(Killed):
            method(name, *SHORT[name]).fit_predict(bare, 3, run=run)
    seconds, wall = timed(method(name, *SHORT[name]), bare, run)
    assert seconds.pop("earlier") > 0.4  # two epochs
    assert sum(seconds.values()) == pytest.approx(wall, rel=0.02, abs=0.002)
    again, wall = timed(method(name, *SHORT[name]), bare, run)  # all is trained
    assert again["earlier"] > 0.4
    assert again["train"] < wall
