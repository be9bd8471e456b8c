"""The study of the confidence, on runs made by hand."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def confidence(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("confidence")


def finished(folder: Path, preset: str = "default") -> None:
    """Ten cells of two types; the two in the wrong cluster are the least and the third least certain."""
    folder.mkdir(parents=True)
    about = {"dataset": "yan", "variant": "all", "method": "jojoscl", "preset": preset, "seed": 0, "git_commit": "c"}
    (folder / "metrics.json").write_text(json.dumps(about | {"selection": "last", "seconds": {"total": 1.0}}))
    obs = pd.DataFrame({"cell_type": list("aaaaabbbbb"), "jojoscl": list("0000111110")})
    obs["jojoscl_confidence"] = [0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.2, 0.3]
    AnnData(obs=obs.set_index(obs.index.astype(str))).write_h5ad(folder / "result.h5ad")


def test_most_certain(confidence: Any) -> None:
    certain = confidence.most_certain(np.array([0.1, 0.9, 0.5, 0.9]), 0.5)
    assert certain.tolist() == [1, 3]


def test_table_and_picture(confidence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path / "runs" / "ours")
    finished(tmp_path / "runs" / "released", preset="released")  # gives no confidence: left out
    monkeypatch.setattr(sys, "argv", ["confidence.py", str(tmp_path / "runs"), "--out", str(tmp_path)])
    confidence.main()
    table = pd.read_csv(tmp_path / "results" / "confidence.csv").set_index("kept")
    assert len(table) == len(confidence.KEPT)
    assert table["acc"][1.0] == 0.8
    assert table["acc"][0.9] == pytest.approx(8 / 9, abs=1e-4)
    assert table["ari"][0.7] == 1
    assert "| yan all |" in (tmp_path / "results" / "confidence.md").read_text()
    assert (tmp_path / "figures" / "confidence.png").stat().st_size > 1000


def test_no_runs(confidence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["confidence.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        confidence.main()
    assert "no finished run of the default preset" in capsys.readouterr().err
