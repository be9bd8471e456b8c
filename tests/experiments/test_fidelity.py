"""Our figures beside those from elsewhere, on tables made by hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
HEADER = "dataset,variant,method,preset,seed,selection,ari"
FIDELITY = ["pbmc_10x,top2000,jojoscl,released,0,last,0.70", "pbmc_10x,top2000,jojoscl,released,0,oracle,0.80"]
TABLE1 = [
    "pbmc_10x,top2000,jojoscl,released,0,oracle,0.10",  # the same run again: the first counts
    "pbmc_10x,top2000,jojoscl,default,0,last,0.99",  # published nowhere
    "bladder,select_2100,sczidesk,,0,last,0.30",
    "bladder,select_2100,sczidesk,,1,last,0.34",
    "yan,all_genes,sccl,,0,last,0.5",  # another set
]


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("fidelity")


def test_table(fidelity: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fidelity.csv").write_text("\n".join([HEADER, *FIDELITY]))
    (tmp_path / "table1.csv").write_text("\n".join([HEADER, *TABLE1]))
    monkeypatch.setattr(sys, "argv", ["fidelity.py", "--results", str(tmp_path)])
    fidelity.main()
    assert (tmp_path / "fidelity.md").read_text().splitlines()[2:] == [
        "| bladder select_2100 | sczidesk (2) | 0.320 | – | 0.491 | 0.444 | 0.124 off: **not near** |",
        "| pbmc_10x top2000 | jojoscl released (1) | 0.700 | 0.800 | 0.808 | – | 0.008 off |",
    ]


def test_a_missing_table_is_told(fidelity: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fidelity.py", "--results", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        fidelity.main()


def test_readme_shows_the_committed_table() -> None:
    page = EXPERIMENTS / "results" / "fidelity.md"
    if not page.exists():
        pytest.skip("not collected yet")
    assert page.read_text() in (EXPERIMENTS.parent / "README.md").read_text()
