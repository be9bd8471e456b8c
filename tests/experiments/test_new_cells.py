"""The study of predicted cells, on simulated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import jojoscl
from experiments import new_cells
from experiments.text import RESULTS


def test_held_out_cells_are_predicted_like_the_clustering_of_all() -> None:
    cells = jojoscl.simulate(300, 300, 3, library_size=5000, marker_fraction=0.2, seed=0)
    of_all = cells.obs["cell_type"].cat.codes.to_numpy()
    scores, predicted = new_cells.of_split(cells, of_all, 3, seed=0)
    assert scores["held_out"] > 0.9
    assert scores["types_predicted"] == pytest.approx(scores["held_out"])  # `of_all` are the types
    assert scores["types_clustered"] == 1
    assert len(predicted) == 60
    assert predicted["agrees"].mean() > 0.9
    assert {f"without_{share}" for share in new_cells.MISSING} <= set(scores)
    later, _ = new_cells.of_split(cells, of_all, 3, seed=2)
    assert "without_0.5" not in later, "genes are taken away in two splits"


def test_what_is_in_the_table_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new_cells.csv").write_text((RESULTS / "new_cells.csv").read_text())
    monkeypatch.setattr(new_cells, "measure", lambda data: pytest.fail(data))
    new_cells.make(tmp_path, tmp_path, ["yan"])
    assert (tmp_path / "new_cells.md").read_text() == (RESULTS / "new_cells.md").read_text()


def test_a_set_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = jojoscl.simulate(120, 200, 2, library_size=5000, seed=0)
    monkeypatch.setattr(jojoscl, "load_dataset", lambda name: cells, raising=False)
    monkeypatch.setattr(new_cells, "SPLITS", 1)
    (row,) = new_cells.measure("any").to_dict("records")
    assert row["equal"] > 0.9
    assert 0 <= row["auroc"] <= 1 or np.isnan(row["auroc"])
