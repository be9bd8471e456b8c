"""The study of types that the fit never saw, on simulated cells."""

from __future__ import annotations

from pathlib import Path

import pytest

import jojoscl
from experiments import unseen
from experiments.text import RESULTS
from jojoscl.cells.checks import as_cells


def test_a_type_that_is_left_out_is_new() -> None:
    cells = jojoscl.simulate(300, 600, 3, library_size=3000, marker_fraction=0.3, seed=1)
    types = cells.obs["cell_type"].astype(str).to_numpy()
    row = unseen.of_type(as_cells(cells), types, types[0], "counts")
    assert row["auroc_novelty"] > 0.9
    assert row["called_left_out"] > row["called_others"]


def test_what_is_in_the_table_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unseen.csv").write_text((RESULTS / "unseen.csv").read_text())
    monkeypatch.setattr(unseen, "measure", lambda folder, data: pytest.fail(data))
    unseen.make(tmp_path, tmp_path)
    assert (tmp_path / "unseen.md").read_text() == (RESULTS / "unseen.md").read_text()
