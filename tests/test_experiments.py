"""The command that makes tables from runs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

COLLECT = Path(__file__).parents[1] / "experiments" / "collect.py"
RESULTS = COLLECT.parent / "results"


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


IN_README = sorted(path for path in RESULTS.glob("*.csv") if not path.with_suffix(".md").exists())


@pytest.mark.parametrize("path", IN_README, ids=lambda path: path.stem)
def test_readme_shows_the_committed_results(path: Path) -> None:
    sys.path.insert(0, str(COLLECT.parent))
    table = importlib.import_module("collect").markdown(pd.read_csv(path))
    assert table in (COLLECT.parents[1] / "README.md").read_text()
