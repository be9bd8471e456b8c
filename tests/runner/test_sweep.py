"""Tables of runs: what is a row, and what foreign files do to them."""

import json
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from jojoscl.runner.sweep import collect, summary, title

RANDOM = ("method=random", "pictures=false", "data=simulated", "data.n_cells=60", "data.n_genes=50")


def run(folder: Path, name: str, **metrics: Any) -> None:
    (folder / name).mkdir(parents=True)
    whole = {"dataset": "h5ad", "method": "m", "seed": 0, "seconds": {"total": 1.0}} | metrics
    (folder / name / "metrics.json").write_text(json.dumps(whole))


def test_seeds_are_averaged_and_nothing_else(tmp_path):
    grid = product(("easy.h5ad", "hard.h5ad"), (2, "annotated", None), (0.1, 0.2), (0, 1))
    for number, (path, k, lr, seed) in enumerate(grid):
        method = {"lr": lr, "dims": [1, 2]}
        settings = {"seed": seed, "method": method, "data": {"digest": path}}
        own = {"path": path, "n_clusters_asked": k, "seed": seed, "settings": settings}
        run(tmp_path, f"run{number}", ari=number, **own)
    table = summary(collect(tmp_path))
    keys = ["path", "n_clusters_asked", "method.lr"]
    assert list(table) == ["dataset", keys[0], "method", *keys[1:], "runs", "ari", "seconds"]
    assert list(table["runs"]) == [2] * 12
    found = table.set_index(keys)["ari"]
    assert found["easy.h5ad", 2, "0.1"] == 0.5
    assert found["hard.h5ad", "annotated", "0.2"] == 18.5


def test_settings_of_different_methods_are_no_columns(tmp_path):
    run(tmp_path, "a", method="a", settings={"method": {"lr": 1}})
    run(tmp_path, "b", method="b", settings={"method": {"n_pcs": 1}})
    assert list(summary(collect(tmp_path))) == ["dataset", "method", "runs", "seconds"]


FOREIGN = {
    "cut": b"{",
    "a list": b"[1]",
    "a number": b"3",
    "other keys": b'{"accuracy": 0.9}',
    "seconds in words": b'{"dataset": "a", "method": "b", "seed": 0, "seconds": {"total": "long"}}',
    "seconds as a number": b'{"dataset": "a", "method": "b", "seed": 0, "seconds": 3}',
    "deep": b"[" * 100_000,
    "bytes": b"\xff",
}


def test_foreign_metrics_files_are_named_and_left_out(tmp_path, caplog):
    run(tmp_path, "ours", ari=0.5)
    for name, content in FOREIGN.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_bytes(content)
    (tmp_path / "a folder" / "metrics.json").mkdir(parents=True)
    assert list(collect(tmp_path)["ari"]) == [0.5]
    assert sorted(caplog.messages) == sorted(
        f"{tmp_path / name / 'metrics.json'} is no metrics of a run: it is left out of the table"
        for name in (*FOREIGN, "a folder")
    )


def test_failed_jobs_are_named_beside_foreign_files(in_process, tmp_path):
    foreign = tmp_path / "runs" / "main" / "other"
    (foreign / "failed.txt").mkdir(parents=True)
    (foreign / "metrics.json").write_text('{"seconds": "long"}')
    done = in_process("-m", *RANDOM, "n_clusters=3,61")
    assert (done.code, done.err) == (1, "")
    assert "61 clusters were asked for, but there are only 60 cells" in done.out
    assert done.out.count("is left out of the table") == 1


def test_every_failed_job_is_named_when_the_table_fails(in_process, monkeypatch):
    broken = Mock(side_effect=RuntimeError("no table"))
    monkeypatch.setattr("jojoscl.runner.sweep.summary", broken)
    done = in_process("-m", *RANDOM, "vary={method.x:1},{method.y:2},null")
    assert done.code == 1
    assert "There is no table of runs/main (RuntimeError('no table'))" in done.out
    assert "there is no setting 'method.x'" in done.out
    assert "there is no setting 'method.y'" in done.out


def test_two_files_and_two_numbers_of_clusters_are_four_rows(in_process, tmp_path, cells):
    # Two files of one content would be one run.
    cells.write_h5ad(tmp_path / "easy.h5ad")
    cells[:100].copy().write_h5ad(tmp_path / "hard.h5ad")
    own = ("data=h5ad", "data.path=easy.h5ad,hard.h5ad", "data.label_key=cell_type")
    done = in_process("-m", *RANDOM[:2], *own, "n_clusters=2,4")
    assert (done.code, done.err) == (0, "")
    table = summary(collect(tmp_path / "runs"))
    assert sorted(zip(table["path"], table["n_clusters_asked"], table["runs"], strict=True)) == [
        ("easy.h5ad", 2, 1), ("easy.h5ad", 4, 1), ("hard.h5ad", 2, 1), ("hard.h5ad", 4, 1)
    ]  # fmt: skip


def test_a_file_of_the_users_is_called_by_its_name():
    assert title({"dataset": "h5ad", "path": "cells/my sample.h5ad"}) == "my sample"
    assert title({"dataset": "yan", "path": None}) == "yan"
