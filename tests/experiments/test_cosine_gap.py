"""The study of the cosine gap, on runs made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from experiments import cosine_gap
from jojoscl.utils.errors import UserError


def finished(folder: Path, sure: str, gap: float) -> None:
    """Two epochs; `b` of two clusters, whose mean is what is drawn."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"dataset": "yan", "seed": 0}))
    (folder / "config.yaml").write_text(f"method: {{sure: {sure}}}\n")
    rows = [(epoch, "cosine_gap", None, gap * epoch) for epoch in (1, 2)]
    rows += [(epoch, "b", k, 0.2 * k) for epoch in (1, 2) for k in (0, 1)]
    rows += [(1, "sigma2", 0, 9.0)]
    pd.DataFrame(rows, columns=["epoch", "quantity", "cluster", "value"]).to_csv(
        folder / "shrinkage.csv", index=False
    )


def test_table_and_picture_are_the_same_from_runs_and_from_the_csv(tmp_path: Path) -> None:
    finished(tmp_path / "runs" / "a", "none", 0.2)
    finished(tmp_path / "runs" / "b", "centroid", 0.25)
    where = tmp_path / "results", tmp_path / "figures"
    cosine_gap.make(*where, tmp_path / "runs")
    page, picture = tmp_path / "results" / "cosine_gap.md", tmp_path / "figures" / "cosine_gap.png"
    assert page.read_text() == (
        "| Set | sure=centroid | sure=none |\n|---|---|---|\n| yan | 0.500 (1) | 0.400 (1) |\n"
    )
    table = pd.read_csv(tmp_path / "results" / "cosine_gap.csv")
    assert set(table["quantity"]) == {"cosine_gap", "b"}
    assert table.query("quantity == 'b'")["value"].tolist() == pytest.approx([0.1] * 4)
    before = page.read_bytes(), picture.read_bytes()
    cosine_gap.make(*where)
    assert (page.read_bytes(), picture.read_bytes()) == before


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="experiment=cosine_gap makes them"):
        cosine_gap.records(tmp_path)
