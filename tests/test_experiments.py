"""The command that makes tables from runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

COLLECT = Path(__file__).parents[1] / "experiments" / "collect.py"


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
    assert "| last | 3 | 0.400 +- 0.200 | 0.500 +- 0.000 |" in done.stdout
    assert "| oracle | 1 | 0.900" in done.stdout
