"""The jobs of a sweep in other processes: joblib's, which are used again, and Slurm's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jojoscl.runner.config import Resolved, compose
from jojoscl.runner.run import run
from jojoscl.runner.sweep import collect
from tests import children
from tests.hostile import processes_with, wait_until

TINY = ("data=simulated", "data.n_cells=60", "data.n_genes=50", "data.n_types=3", "pictures=false")

SPY = '''
import dataclasses, os
from jojoscl.core.method import JojoSCL


class Spy(JojoSCL):
    """Says which process it ran in, and what it found there."""

    def fit_predict(self, *args, **kwargs):
        found = {name: value for name, value in os.environ.items() if "WANDB" in name and name != "WANDB_SERVICE"}
        result = super().fit_predict(*args, **kwargs)
        info = {"process": os.getpid(), "wandb_environment": found}
        return dataclasses.replace(result, info=result.info | info)
'''


def by_clusters(folder: Path) -> dict[int, dict[str, Any]]:
    """The metrics of each run below `folder`, by its number of clusters."""
    found = (
        json.loads(path.read_text()) | {"folder": path.parent}
        for path in folder.rglob("metrics.json")
    )
    return {metrics["n_clusters"]: metrics for metrics in found}


def test_joblib_goes_on_after_a_failing_job_and_nothing_leaks_between_jobs(tmp_path):
    pytest.importorskip("joblib")
    pytest.importorskip("wandb")
    (tmp_path / "spy.py").write_text(SPY)
    arguments = (*TINY, "method._target_=spy.Spy", "logger=wandb")
    sweep = ("-m", "launcher=joblib", "hydra.launcher.n_jobs=2", "n_clusters=2,61,3,4", *arguments)
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", children.MAIN, *sweep]  # joblib hangs in a forked process
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    (failed,) = (tmp_path / "runs").rglob("failed.txt")
    sentence = "61 clusters were asked for, but there are only 60 cells: ask for fewer."
    assert done.stdout.endswith(f"\nFailed: {failed.parent.relative_to(tmp_path)}: {sentence}\n")
    runs = by_clusters(tmp_path / "runs")
    assert sorted(runs) == [2, 3, 4]
    assert len({metrics["process"] for metrics in runs.values()}) <= 2, "a process did two jobs"

    for metrics in runs.values():
        assert metrics["wandb_environment"] == {}
        (mirror,) = metrics["folder"].glob("wandb/offline-run-*")
        assert mirror.name.endswith(metrics["config_hash"])
    run(Resolved.of(compose([*TINY, "n_clusters=4"])), tmp_path / "alone")
    labels = [
        pd.read_csv(folder / "labels.csv") for folder in (runs[4]["folder"], tmp_path / "alone")
    ]
    np.testing.assert_array_equal(labels[0], labels[1])


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux only")
def test_no_process_is_left_when_only_the_parent_is_killed(tmp_path):
    endless = (
        *TINY, "method=jojoscl_paper", "method.encoder_dims=[8,4]", "trainer.devices=2", "trainer.accelerator=cpu",
        "trainer.progress_bar=false", "trainer.max_epochs=100000", "trainer.checkpoint_seconds=0",
    )  # fmt: skip
    parent = children.start(children.MAIN, *endless, folder=tmp_path, MARK=str(tmp_path)).process
    mark = f"MARK={tmp_path}"  # in what the parent starts
    wait_until(lambda: bool(list(tmp_path.rglob("last.ckpt"))), 120)
    assert processes_with(mark)
    parent.kill()
    wait_until(lambda: not processes_with(mark), 60)
    assert not processes_with(mark)


@pytest.mark.slurm
def test_slurm_runs_a_sweep_as_an_array(command, tmp_path):
    sinfo = shutil.which("sinfo")
    if not sinfo or subprocess.run([sinfo], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm: tests/slurm/start.sh starts one")
    limits = {"cpus_per_task": 1, "mem_gb": 2, "timeout_min": 10}
    own = [f"hydra.launcher.{name}={value}" for name, value in limits.items()]
    arguments = ("-m", "launcher=slurm", *own, *TINY, "method=pca_kmeans")
    done = command(*arguments, "n_clusters=2,61,3")
    assert done.returncode == 1, done.stderr
    assert "Failed: " in done.stdout
    runs = collect(tmp_path / "runs")
    assert sorted(runs["n_clusters"]) == [2, 3]
    jobs = [path.name for path in (tmp_path / "runs" / "main" / ".submitit").glob("[0-9]*_*")]
    assert {job.partition("_")[2] for job in jobs} == {"0", "1", "2"}, "an array of three"
    assert len({job.partition("_")[0] for job in jobs}) == 1
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    again = command(*arguments, "n_clusters=2,3")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written
