"""The study of split_tests and markers, with few runs of each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import jojoscl
from experiments import splits
from experiments.text import RESULTS


@pytest.fixture(autouse=True)
def _few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "FEW", 1)


def test_one_type_is_not_split() -> None:
    (row,) = splits.measure_null("Poisson", 2).to_dict("records")
    assert row["split_1"] == 0
    assert 0.05 < row["root"] <= 1


def test_two_types_far_apart_are() -> None:
    (row,) = splits.measure_power(1.5).to_dict("records")
    assert row == {"split_5": 1, "ari": pytest.approx(1, abs=0.05)}


def test_markers_of_one_type_are_found_by_the_circular_way_only() -> None:
    table = splits.measure_markers("Poisson").set_index("way")
    assert table.at[splits.HALVES, "some"] == 0
    assert table.at[splits.CIRCULAR, "small"] > table.at[splits.HALVES, "small"]


def test_a_folder_of_sets_is_measured_and_sets_without_counts_are_left_out(tmp_path: Path) -> None:
    cells = jojoscl.simulate(200, 300, 2, library_size=5000, seed=0)
    cells.write_h5ad(tmp_path / "mine.h5ad")
    (row,) = splits.measure_real(tmp_path, "mine").to_dict("records")
    assert (row["n_cells"], row["n_types"], row["kept"]) == (200, 2, 2)
    cells.X = cells.X * 0.37  # no counts
    cells.write_h5ad(tmp_path / "linear.h5ad")
    assert splits.measure_real(tmp_path, "linear").empty
    assert [unit["data"] for unit in splits.units("real", tmp_path)][:2] == ["linear", "mine"]


def test_the_page_is_that_of_the_committed_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    shutil.copytree(RESULTS / "splits", tmp_path / "splits")
    splits.make(tmp_path, tmp_path)
    assert (tmp_path / "splits.md").read_text() == (RESULTS / "splits.md").read_text()
