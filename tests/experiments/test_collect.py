"""The command that makes tables from runs, and the one that rebuilds everything from the tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from experiments import fidelity, tables
from experiments.__main__ import COMMANDS, main
from experiments.failures import failures_by_reason
from experiments.runs import read
from experiments.spread import of_embedding
from experiments.text import HERE
from jojoscl.utils.errors import UserError
from tests import children

TABLES = sorted(
    path for path in (HERE / "results").glob("*.csv") if "git_commit" in path.read_text()[:400]
)


def finished(folder: Path, seed: int, ari: float, **more: object) -> None:
    metrics = {
        "experiment": "main",
        "dataset": "yan",
        "method": "sccl",
        "seed": seed,
        "selection": "last",
        "ari": ari,
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(
        json.dumps(metrics | {"nmi": 0.5, "seconds": {"total": 2.0}} | more)
    )


def test_collect_writes_one_row_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "runs" / "a", 0, 0.2)
    finished(tmp_path / "runs" / "b", 1, 0.4)
    finished(
        tmp_path / "runs" / "c",
        2,
        0.9,
        selection="oracle",
        last_ari=0.6,
        last_nmi=0.5,
        last_acc=0.5,
    )
    main(["collect", str(tmp_path / "runs"), str(tmp_path / "table.csv")])
    table = pd.read_csv(tmp_path / "table.csv")
    assert table[["seed", "selection", "ari"]].to_dict("list") == {
        "seed": [0, 1, 2, 2],
        "selection": ["last", "last", "last", "oracle"],
        "ari": [0.2, 0.4, 0.6, 0.9],
    }
    assert (table["seconds"] == 2).all()
    assert capsys.readouterr().out == f"4 rows in {tmp_path / 'table.csv'}\n"


def test_a_table_is_named_like_the_folder_of_its_runs(tmp_path: Path) -> None:
    finished(tmp_path / "noise" / "a", 0, 0.2)
    main(["collect", str(tmp_path / "noise"), "--results", str(tmp_path)])
    assert len(pd.read_csv(tmp_path / "noise.csv")) == 1


def test_collect_merges_into_a_table_that_grows(tmp_path: Path) -> None:
    def collect(runs: str, *more: str) -> pd.DataFrame:
        main(["collect", str(tmp_path / runs), str(tmp_path / "table.csv"), *more])
        return pd.read_csv(tmp_path / "table.csv").set_index(["dataset", "seed", "selection"])[
            "ari"
        ]

    finished(tmp_path / "first" / "a", 0, 0.2)
    finished(
        tmp_path / "first" / "b",
        1,
        0.9,
        selection="oracle",
        last_ari=0.6,
        last_nmi=0.5,
        last_acc=0.5,
    )
    first = {("yan", 0, "last"): 0.2, ("yan", 1, "last"): 0.6, ("yan", 1, "oracle"): 0.9}
    assert collect("first", "--merge").to_dict() == first  # there was no table yet
    finished(tmp_path / "second" / "a", 0, 0.3)
    finished(tmp_path / "second" / "b", 0, 0.1, dataset="bladder", variant="top2000")
    second = {("yan", 0, "last"): 0.3, ("bladder", 0, "last"): 0.1}
    assert collect("second", "--merge").to_dict() == first | second
    assert collect("second").to_dict() == second
    finished(tmp_path / "third" / "a", 0, 0.5, experiment="another")  # the same run, done again
    assert collect("third", "--merge").to_dict() == second | {("yan", 0, "last"): 0.5}


def test_failed_runs_stand_beside_the_table_until_they_are_done(tmp_path: Path) -> None:
    def collect(runs: str, *more: str) -> list[str]:
        main(["collect", str(tmp_path / runs), str(tmp_path / "table.csv"), *more])
        beside = tmp_path / "table_failed.csv"
        return pd.read_csv(beside)["run"].tolist() if beside.exists() else []

    first, other = tmp_path / "first", tmp_path / "other"
    finished(first / "yan" / "sccl-last" / "seed0-a", 0, 0.2)
    finished(other / "yan" / "sccl-last" / "seed9-b", 9, 0.2)
    assert collect("first") == []
    for folder, seed in ((first, 1), (first, 2), (other, 3)):
        run = folder / "yan" / "sccl-last" / f"seed{seed}-c"
        run.mkdir(parents=True)
        (run / "failed.txt").write_text("Traceback\nno memory\n")
    runs = [f"yan/sccl-last/seed{seed}-c" for seed in range(1, 4)]
    assert collect("first") == runs[:2]
    assert collect("other", "--merge") == runs
    (first / runs[0] / "failed.txt").rename(first / runs[0] / "done")
    assert collect("first", "--merge") == runs[1:]
    shown = failures_by_reason(tmp_path / "table.csv")
    assert shown.to_numpy().tolist() == [["sccl", "yan", "2", "no memory"]]
    assert collect("other") == runs[2:]


def test_spread_is_added_where_it_is_asked_for(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    finished(run, 0, 0.2)
    h = np.repeat([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 0]], [4, 4, 2], axis=0)
    AnnData(obs=pd.DataFrame(index=[str(i) for i in range(10)]), obsm={"X_jojoscl": h}).write_h5ad(
        run / "result.h5ad"
    )
    rows = [
        (epoch, name, value)
        for epoch in range(30)
        for name, value in (("movement", epoch / 100), ("b", epoch))
    ]
    table = pd.DataFrame([*rows, (29, "distance", 0.5)], columns=["epoch", "quantity", "value"])
    table.to_csv(run / "shrinkage.csv", index=False)
    main(["collect", str(tmp_path / "runs"), str(tmp_path / "table.csv"), "--spread"])
    found = pd.read_csv(tmp_path / "table.csv").iloc[0]
    assert found["cosine"] == pytest.approx(
        24 / 90, abs=1e-4
    )  # pairs within the fours, of all pairs
    assert 1 < found["dimensions"] < 2
    assert found["origin"] == 0.2
    assert found["movement"] == pytest.approx(0.245 / 0.5)
    assert found["b"] == 29
    assert of_embedding(np.ones((5, 3)))["dimensions"] == 0


def test_no_runs_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["collect", str(tmp_path), str(tmp_path / "table.csv")])
    assert capsys.readouterr().err == (
        f"experiments collect: There is no finished run below {tmp_path}: give the folder of a sweep.\n"
    )


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    for name, what in COMMANDS.items():
        assert f"{name:12} {what}" in shown
        assert (HERE / f"{name}.py").exists()


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_committed_tables_name_a_method_by_one_word(path: Path) -> None:
    try:
        runs = read(path, ("method", "seed"))
    except UserError:
        pytest.skip("no table of runs")
    assert not {"preset", "seconds_old_clock"} & set(runs)
    assert set(runs["method"]) - {"jojoscl_anchored"} <= {
        path.stem for path in (HERE.parent / "conf" / "method").glob("*.yaml")
    }


def copy_of_inputs(folder: Path, names: set[str]) -> None:
    for path in (HERE / "results").rglob("*.csv"):
        if path.stem in names:
            target = folder / "results" / path.relative_to(HERE / "results")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (folder / "figures").mkdir()


def where(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--figures", str(folder / "figures")]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_rebuilding_twice_changes_no_byte(tmp_path: Path) -> None:
    copy_of_inputs(tmp_path, {"table1", "confidence", "ablation", "sizes", "null"})
    table = tmp_path / "results" / "table1.csv"
    few = pd.read_csv(table).query("dataset in ['yan', 'bladder', 'human_brain'] and seed < 2")
    few[few["method"].isin(["jojoscl", "pca_kmeans", "jojoscl_released"])].to_csv(
        table, index=False
    )
    rebuild = ["rebuild", *where(tmp_path)]
    main(rebuild)
    once = contents(tmp_path)
    pictures = {"scores", "critical_difference", "assumptions_sizes", "confidence", "ablation"}
    assert {f"figures/{name}.png" for name in pictures} <= set(once)
    assert {"results/table1.md", "results/ablation.md", "results/splits.md"} <= set(once)
    code = "from experiments.__main__ import main; main()"  # sets have another order there
    ended, _, err = children.start(code, *rebuild, folder=tmp_path).ended()
    assert ended == 0, err
    assert contents(tmp_path) == once


def test_committed_pages_are_made_from_the_committed_tables(tmp_path: Path) -> None:
    copy_of_inputs(tmp_path, {"table1", "fidelity"})
    for module in (tables, fidelity):
        module.make(tmp_path / "results", tmp_path / "figures")
    for name in ("table1.md", "table1_summary.csv", "fidelity.md"):
        assert (tmp_path / "results" / name).read_bytes() == (HERE / "results" / name).read_bytes()


@pytest.mark.slow
def test_all_that_is_committed_is_what_rebuilding_gives(tmp_path: Path) -> None:
    copy_of_inputs(tmp_path, {path.stem for path in (HERE / "results").rglob("*.csv")})
    main(["rebuild", *where(tmp_path)])
    for path in (tmp_path / "results").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (HERE / "results" / path.relative_to(tmp_path / "results")).read_bytes()
            ), path
