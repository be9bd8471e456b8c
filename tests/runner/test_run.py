"""Runs as a user starts them: what they leave, that they repeat, resume, and never hand labels to a method."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml
from anndata import AnnData

import jojoscl
import jojoscl.runner.page
import jojoscl.runner.run
from jojoscl.cells.checks import without_labels
from jojoscl.core.interface import Result
from jojoscl.core.metrics import best_clusters
from jojoscl.networks.paper import PaperJojoSCL
from jojoscl.runner.config import Resolved, compose
from jojoscl.runner.run import run
from jojoscl.runner.sweep import SCORES, collect
from jojoscl.utils.errors import UserError
from tests import children

PAPER = ("data=simulated", "data.n_cells=120", "data.n_genes=80", "data.n_types=3", "trainer.progress_bar=false",
        "method.encoder_dims=[16,8]", "pictures=false", "method=jojoscl_paper")  # fmt: skip
RELEASED = (*PAPER[:-1], "method=jojoscl_released")
LONG = ("trainer.max_epochs=40", "trainer.checkpoint_seconds=0")


def ran(folder: Path, *overrides: str) -> dict[str, Any]:
    return run(Resolved.of(compose(overrides)), folder)


def do(folder: Path, *overrides: str) -> dict[str, Any]:
    return ran(folder, *PAPER, "trainer.max_epochs=3", *overrides)


def test_a_run_leaves_all_it_promises(tmp_path):
    metrics = do(tmp_path / "run", "pictures=true")
    folder = tmp_path / "run"
    assert metrics == json.loads((folder / "metrics.json").read_text())
    for key in ("dataset", "method", "path", "n_clusters_asked", "settings", "seed",
                "selection", "n_cells", "n_genes", "n_clusters", *SCORES,
                "seconds", "peak_memory_mb", "versions", "config_hash", "git_commit"):  # fmt: skip
        assert key in metrics
    assert (metrics["n_cells"], metrics["n_clusters"]) == (120, 3)
    assert {"load", "preprocess", "train", "assign", "total"} <= set(metrics["seconds"])

    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    types = best_clusters(labels["cell_type"], labels["cluster"].astype(int))
    np.testing.assert_allclose(metrics["types"], types, atol=1e-4)
    assert all(isinstance(n_cells, int) for n_cells, _, _ in metrics["types"])
    result = ad.read_h5ad(folder / "result.h5ad")
    assert list(labels) == ["cell", "cluster", "cell_type"]
    assert list(result.obs["jojoscl"]) == list(labels["cluster"])
    assert result.obsm["X_jojoscl"].shape == (120, 8)
    assert result.uns["jojoscl"]["params"]["seed"] == 0

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["method"]["encoder_dims"] == [16, 8]
    losses = pd.read_csv(folder / "csv" / "metrics.csv")
    assert list(losses["epoch"]) == [0, 1, 2]
    assert losses[["loss", "instance", "cluster", "sure"]].notna().all(axis=None)
    for picture in ("losses.png", "umap.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_splits_of_a_result_are_tested_by_the_settings_of_its_run(tmp_path, cells):
    cells.write_h5ad(tmp_path / "a.h5ad")
    settings = ("data=h5ad", f"data.path={tmp_path}/a.h5ad", "n_clusters=3", "pictures=false")
    ran(tmp_path / "run", *settings, "method.n_draws=1", "method.contrast=none")
    result = ad.read_h5ad(tmp_path / "run" / "result.h5ad")
    called = jojoscl.cluster(cells, 3, n_draws=1, contrast="none", copy=True)
    np.testing.assert_equal(result.uns["jojoscl"]["params"], called.uns["jojoscl"]["params"])
    result = AnnData(cells.X, obs=result.obs, var=cells.var, uns=result.uns)
    pd.testing.assert_frame_equal(jojoscl.split_tests(result), jojoscl.split_tests(called))


def test_another_seed_gives_another_run(tmp_path):
    one, two = (tmp_path / str(seed) / "result.h5ad" for seed in (0, 1))
    for seed in (0, 1):
        do(tmp_path / str(seed), f"seed={seed}")
    assert not np.allclose(*(ad.read_h5ad(path).obsm["X_jojoscl"] for path in (one, two)))


def test_a_finished_run_is_read_and_done_again_only_by_force(tmp_path):
    first = do(tmp_path / "run")
    assert do(tmp_path / "run") == first
    again = do(tmp_path / "run", "force=true")
    assert again["finished"] >= first["finished"]
    assert again["seconds"] != first["seconds"]


def test_a_file_that_was_deleted_is_written_again(tmp_path):
    small = ("data=simulated", "data.n_cells=60", "method=random")
    ran(tmp_path / "run", *small)
    before = (tmp_path / "run" / "labels.csv").read_text()
    for name in ("labels.csv", "result.h5ad", "umap.png"):
        (tmp_path / "run" / name).unlink()
        ran(tmp_path / "run", *small)
        assert (tmp_path / "run" / name).exists()
        assert (tmp_path / "run" / "labels.csv").read_text() == before


def test_a_finished_run_without_pictures_stays_finished(tmp_path):
    small = ("data=simulated", "data.n_cells=60", "method=random")
    first = ran(tmp_path / "run", *small, "pictures=false")
    assert ran(tmp_path / "run", *small) == first


def test_names_with_dollar_signs_and_a_failing_picture_end_no_run(
    tmp_path, monkeypatch, caplog, cells
):
    cells = cells.copy()
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories(
        {"type1": r"$\frac{x$", "type2": "$"}
    )
    cells.write_h5ad(tmp_path / "x.h5ad")
    own = ("data=h5ad", f"data.path='{tmp_path}/x.h5ad'", "data.label_key=cell_type")
    ran(tmp_path / "run", *own, "method=random")
    assert not caplog.records
    assert (tmp_path / "run" / "umap.png").exists()
    monkeypatch.setattr(jojoscl.runner.page, "umap", lambda *_, **__: 1 / 0)
    metrics = ran(tmp_path / "other", *own, "method=random", "page=true")
    files = ["config.yaml", "labels.csv", "metrics.json", "page.html", "result.h5ad"]
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == files
    assert "umap.png could not be drawn (ZeroDivisionError" in caplog.text
    assert ran(tmp_path / "other", *own, "method=random", "page=true") == metrics


def test_cells_without_labels_are_clustered_and_not_scored(tmp_path, cells):
    without_labels(cells).write_h5ad(tmp_path / "mine.h5ad")
    own = ("data=h5ad", f"data.path={tmp_path / 'mine.h5ad'}", "n_clusters=4")
    metrics = ran(tmp_path / "run", *own, "trainer.max_epochs=2", "trainer.progress_bar=false")
    assert not set(SCORES) & set(metrics)
    assert metrics["n_clusters"] == 4
    assert list(pd.read_csv(tmp_path / "run" / "labels.csv")) == ["cell", "cluster"]
    assert (tmp_path / "run" / "umap.png").exists()


def test_the_stages_add_up_to_the_total_which_is_wall_time(tmp_path):
    began = time.perf_counter()
    seconds = do(tmp_path / "run")["seconds"]
    assert seconds["total"] < time.perf_counter() - began
    stages = sum(value for name, value in seconds.items() if name not in ("method", "total"))
    assert stages == pytest.approx(seconds["total"], rel=0.02, abs=0.05)
    assert seconds["method"] == pytest.approx(stages - seconds["load"])


def test_two_equal_commands_at_once_do_one_run(tmp_path):
    folder = tmp_path / "run"
    processes = [start(folder, *PAPER, max_epochs=8) for _ in range(2)]
    assert [process.ended()[0] for process in processes] == [0, 0]
    assert list(pd.read_csv(folder / "csv" / "metrics.csv")["epoch"]) == list(range(8))


# ---- labels --------------------------------------------------------------------------------------


class Spy(PaperJojoSCL):
    """Keeps what it was given."""

    seen: dict[str, Any]

    def fit_predict(self, adata: AnnData, n_clusters: int | None, **kwargs: Any) -> Result:
        Spy.seen = {"adata": adata, "n_clusters": n_clusters, **kwargs}
        return super().fit_predict(adata, n_clusters, **kwargs)


@pytest.mark.parametrize("selection", ["last", "oracle"])
def test_labels_are_not_in_what_a_method_gets(tmp_path, monkeypatch, selection):
    target = f"method._target_={__name__}.Spy"
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Spy.__module__])
    ran(tmp_path / "run", *PAPER, "trainer.max_epochs=2", f"selection={selection}", target)
    seen = Spy.seen["adata"]
    assert seen.obs.shape[1] == seen.var.shape[1] == 0
    assert list(seen.uns) == ["kind"]
    assert len(seen.obsm) == len(set(seen.layers) - {None}) == 0  # None is X since anndata 0.13
    assert seen.raw is None
    assert ("oracle" in Spy.seen) is (selection == "oracle")


def test_a_control_that_takes_the_truth_gets_it_and_is_marked(tmp_path, cells):
    overrides = [*PAPER[:4], "pictures=false", "method=truth"]
    metrics = ran(tmp_path / "run", *overrides)
    assert (metrics["ari"], metrics["selection"]) == (1.0, "truth")
    assert list(collect(tmp_path)["selection"]) == ["truth"]
    without_labels(cells).write_h5ad(tmp_path / "bare.h5ad")
    bare = ["data=h5ad", f"data.path='{tmp_path}/bare.h5ad'", "n_clusters=3", *overrides[4:]]
    with pytest.raises(
        UserError, match="method=truth needs annotated types, and these cells have none"
    ):
        ran(tmp_path / "bare", *bare)


def test_oracle_keeps_the_best_epoch_and_reports_the_last_beside(tmp_path):
    overrides = ("seed=3", "method.mask_rate=0.8", "method.lr=0.1")
    oracle = do(tmp_path / "oracle", "selection=oracle", *overrides)
    last = do(tmp_path / "last", *overrides)
    assert oracle["selection"] == "oracle"
    assert 0 <= oracle["selected_epoch"] < 3
    assert oracle["ari"] + oracle["nmi"] >= oracle["last_ari"] + oracle["last_nmi"]
    # Looking at the labels does not change training: the last epoch is that of a run that never saw
    # them.
    assert {key: oracle[f"last_{key}"] for key in SCORES} == {key: last[key] for key in SCORES}
    assert not any(key.startswith("last_") for key in last)


def test_no_source_file_of_a_method_names_the_column_of_types():
    source = Path(jojoscl.runner.run.__file__).parents[1]
    named = [path for path in source.rglob("*.py") if "cell_type" in path.read_text()]
    paths = [path.relative_to(source) for path in named]
    reads = ("cells", "datasets")
    assert not [p for p in paths if p.parts[0] not in reads and p != Path("runner/run.py")]


# ---- interruption --------------------------------------------------------------------------------


def start(folder: Path, *overrides: str, max_epochs: int = 40) -> children.Child:
    own = (f"trainer.max_epochs={max_epochs}", LONG[1], f"hydra.run.dir={folder}")
    arguments = (*overrides, *own)
    return children.start(children.MAIN, *arguments, folder=folder.parent)


def results(folder: Path) -> dict[str, Any]:
    metrics = json.loads((folder / "metrics.json").read_text())
    changing = {"seconds", "finished", "peak_memory_mb"}
    losses = pd.read_csv(folder / "csv" / "metrics.csv").to_dict("list")
    embedding = ad.read_h5ad(folder / "result.h5ad").obsm["X_jojoscl"].tobytes()
    return {k: v for k, v in metrics.items() if k not in changing} | {
        "losses": losses,
        "embedding": embedding,
    }


@pytest.mark.parametrize(
    "overrides", [PAPER, (*RELEASED, "selection=oracle")], ids=["last", "oracle"]
)
def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(tmp_path, overrides):
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = start(broken, *overrides).process
    csv = broken / "csv" / "metrics.csv"
    deadline = time.monotonic() + 240
    while process.is_alive() and time.monotonic() < deadline:
        if csv.exists() and csv.read_text().count("\n") > 5:
            break
        time.sleep(0.01)
    process.kill()
    process.join()
    assert (broken / "last.ckpt").exists()
    assert not (broken / "metrics.json").exists()
    checkpoint_time = (broken / "last.ckpt").stat().st_mtime_ns
    ran(broken, *overrides, *LONG)
    assert (broken / "last.ckpt").stat().st_mtime_ns > checkpoint_time
    ran(whole, *overrides, *LONG)
    assert results(broken) == results(whole)


def test_a_corrupted_run_says_how_and_is_scored_on_the_cells_that_are_left(tmp_path):
    metrics = do(tmp_path / "run", "vary={corrupt.subsample:0.5}", "trainer.max_epochs=1")
    assert (metrics["setting"], metrics["strength"]) == ("subsample", 0.5)
    assert 58 <= metrics["n_cells"] <= 62
    assert len(pd.read_csv(tmp_path / "run" / "labels.csv")) == metrics["n_cells"]
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["corrupt"]["subsample"] == 0.5


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_peak_memory_is_that_of_the_run(tmp_path):
    def resident() -> float:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found
        return int(found[1]) * 1024 / 1e6

    before = resident()
    np.ones(75_000_000).sum()  # .6 GB, gone again
    # As much, in pieces that the allocator keeps when they are freed.
    small = [np.ones(5_000) for _ in range(15_000)]
    last = np.ones(5_000)
    del small
    assert resident() > before + 450
    peak = do(tmp_path / "run", "trainer.max_epochs=1")["peak_memory_mb"]
    assert peak < before + 300
    assert last.all()


def test_the_batch_key_of_a_run_is_that_of_the_call(tmp_path, cells):
    pytest.importorskip("harmonypy")
    cells = cells.copy()
    cells.obs["mouse"] = np.random.default_rng(0).integers(0, 2, cells.n_obs)
    cells.write_h5ad(tmp_path / "x.h5ad")
    own = ("data=h5ad", f"data.path={tmp_path}/x.h5ad", "n_clusters=3", "data.batch_key=mouse")
    ran(tmp_path / "run", *own, "pictures=false")
    found = jojoscl.cluster(cells, 3, batch_key="mouse", copy=True)
    table = pd.read_csv(tmp_path / "run" / "labels.csv")
    np.testing.assert_array_equal(table["cluster"], found.obs["jojoscl"].astype(int))


def test_settings_of_a_training_that_is_none_are_said_to_be_ignored(tmp_path, caplog):
    ran(
        tmp_path / "run",
        "data=simulated",
        "pictures=false",
        "method=random",
        "trainer.max_epochs=2",
    )
    assert "random trains no network: trainer.max_epochs is ignored" in caplog.text
