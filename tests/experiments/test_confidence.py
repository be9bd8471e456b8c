"""The study of the confidence, on runs made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from experiments import confidence
from jojoscl.utils.errors import UserError


def finished(folder: Path, method: str = "jojoscl") -> None:
    """Ten cells of two types; the two in the wrong cluster are the least and the third least certain."""
    folder.mkdir(parents=True)
    about = {"dataset": "yan", "variant": "all", "method": method, "seed": 0, "git_commit": "c"}
    (folder / "metrics.json").write_text(
        json.dumps(about | {"selection": "last", "seconds": {"total": 1.0}})
    )
    obs = pd.DataFrame({"cell_type": list("aaaaabbbbb"), "jojoscl": list("0000111110")})
    obs["jojoscl_confidence"] = [0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.2, 0.3]
    AnnData(obs=obs.set_index(obs.index.astype(str))).write_h5ad(folder / "result.h5ad")


def test_most_certain() -> None:
    certain = confidence.most_certain(np.array([0.1, 0.9, 0.5, 0.9]), 0.5)
    assert certain.tolist() == [1, 3]


def test_table_and_picture(tmp_path: Path) -> None:
    finished(tmp_path / "runs" / "ours")
    finished(
        tmp_path / "runs" / "released", method="jojoscl_released"
    )  # gives no confidence: left out
    confidence.make(tmp_path / "results", tmp_path / "figures", [tmp_path / "runs"])
    table = pd.read_csv(tmp_path / "results" / "confidence.csv").set_index("kept")
    assert len(table) == len(confidence.KEPT)
    assert table["acc"][1.0] == 0.8
    assert table["acc"][0.9] == pytest.approx(8 / 9, abs=1e-4)
    assert table["ari"][0.7] == 1
    assert "| yan all |" in (tmp_path / "results" / "confidence.md").read_text()
    assert (tmp_path / "figures" / "confidence.png").stat().st_size > 1000


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run of method=jojoscl"):
        confidence.of_runs([tmp_path])
