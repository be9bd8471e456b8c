"""How far labels move when only seed, order or threads change."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import jojoscl
from experiments import order
from experiments.text import RESULTS


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The rows of pca_kmeans on simulated cells, fitted in this process."""
    here = SimpleNamespace(submit=lambda call, *given: SimpleNamespace(result=lambda: call(*given)))
    cells = jojoscl.simulate(120, 200, 3, library_size=9000, marker_fraction=0.4, seed=0)
    monkeypatch.setattr(order, "process", lambda name: here)
    monkeypatch.setattr(jojoscl, "load_dataset", lambda name: cells, raising=False)
    return order.measure("any", "pca_kmeans", None, 2).assign(data="any", method="pca_kmeans")


def test_labels_go_back_to_the_cells_they_belong_to(rows: Any) -> None:
    assert list(zip(rows["change"], rows["draw"], strict=True)) == [
        *(("seed", 0), ("seed", 1), ("cells", 1), ("cells", 2)),
        *(("genes", 1), ("threads", 2), ("blas", 1)),
    ]
    assert (rows["same"] == 1).all(), "types that are easy to tell apart come out in any order"
    assert (rows["ari"] == 1).all()


def test_the_page_has_a_row_a_method_and_a_row_a_set(rows: Any) -> None:
    rows.loc[rows["change"] == "cells", "same"] = [0.5, 0.7]
    (moved,) = order.moved(rows).table.to_numpy().tolist()
    assert moved == ["`pca_kmeans`", "1.000", ".600", "1.000", "1.000", "1.000"]
    (one,) = order.spread(rows, "pca_kmeans").table.to_numpy().tolist()
    assert one[:3] == ["`any`", "1.000 ± .000", "1.000 (1.000 to 1.000)"]


def test_the_page_is_that_of_the_committed_rows(tmp_path: Path) -> None:
    (tmp_path / "order.csv").write_text((RESULTS / "order.csv").read_text())
    order.make(tmp_path, tmp_path)
    assert (tmp_path / "order.md").read_text() == (RESULTS / "order.md").read_text()


def test_a_process_reads_its_environment_when_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Pool:
        def __init__(self, n: int, context: object) -> None:
            seen.append(os.environ["OMP_NUM_THREADS"])

        def submit(self, call: object) -> SimpleNamespace:
            return SimpleNamespace(result=lambda: 0)

    monkeypatch.setattr(order, "ProcessPoolExecutor", Pool)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    order.process.__wrapped__("threads")
    assert seen == ["2"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
