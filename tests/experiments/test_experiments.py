"""The command that makes tables from runs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

COLLECT = Path(__file__).parents[2] / "experiments" / "collect.py"
RESULTS = COLLECT.parent / "results"
SHOWN = [path for path in RESULTS.glob("*.csv") if not path.with_suffix(".md").exists() and "_summary" not in path.stem]


def finished(folder: Path, seed: int, ari: float, **more: object) -> None:
    metrics = {"experiment": "main", "dataset": "yan", "method": "sccl", "seed": seed, "selection": "last", "ari": ari}
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics | {"nmi": 0.5, "seconds": {"total": 2.0}} | more))


def test_collect_writes_one_row_a_run_and_prints_means(tmp_path: Path) -> None:
    finished(tmp_path / "runs" / "a", 0, 0.2)
    finished(tmp_path / "runs" / "b", 1, 0.4)
    finished(tmp_path / "runs" / "c", 2, 0.9, selection="oracle", last_ari=0.6, last_nmi=0.5, last_acc=0.5)
    done = subprocess.run(
        [sys.executable, COLLECT, "runs", "table.csv"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    table = pd.read_csv(tmp_path / "table.csv")
    assert table[["seed", "selection", "ari"]].to_dict("list") == {
        "seed": [0, 1, 2, 2],
        "selection": ["last", "last", "last", "oracle"],
        "ari": [0.2, 0.4, 0.6, 0.9],
    }
    assert (table["seconds"] == 2).all()
    assert "| Set | Published | sccl | sccl, picked by labels |" in done.stdout
    assert "| yan  | 0.866 / 0.879 | 0.400 +- 0.200 / 0.500 +- 0.000 (3) | 0.900 +- nan / " in done.stdout


def test_collect_merges_into_a_table_that_grows(tmp_path: Path) -> None:
    def collect(runs: str, *more: str) -> pd.DataFrame:
        command = [sys.executable, "-W", "error", COLLECT, runs, "table.csv", *more]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        return pd.read_csv(tmp_path / "table.csv").set_index(["dataset", "seed", "selection"])["ari"]

    finished(tmp_path / "first" / "a", 0, 0.2)
    finished(tmp_path / "first" / "b", 1, 0.9, selection="oracle", last_ari=0.6, last_nmi=0.5, last_acc=0.5)
    first = {("yan", 0, "last"): 0.2, ("yan", 1, "last"): 0.6, ("yan", 1, "oracle"): 0.9}
    assert collect("first", "--merge").to_dict() == first  # there was no table yet
    finished(tmp_path / "second" / "a", 0, 0.3)
    finished(tmp_path / "second" / "b", 0, 0.1, dataset="bladder", variant="top2000")
    second = {("yan", 0, "last"): 0.3, ("bladder", 0, "last"): 0.1}
    assert collect("second", "--merge").to_dict() == first | second
    assert collect("second").to_dict() == second


# A study with a page of its own beside it is test_tables.py's.
@pytest.mark.parametrize("path", sorted(SHOWN), ids=lambda path: path.stem)
def test_readme_shows_the_committed_results(path: Path) -> None:
    sys.path.insert(0, str(COLLECT.parent))
    table = importlib.import_module("collect").markdown(pd.read_csv(path))
    assert table in (COLLECT.parents[1] / "README.md").read_text()
