"""Searches by Optuna: shared by processes, resumed, label-free unless said otherwise."""

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

pytest.importorskip("optuna")

import optuna
from sqlalchemy.pool import NullPool

import jojoscl.runner.search
from jojoscl.runner.config import build, compose
from jojoscl.runner.search import Search, as_overrides, jobs
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import choices
from tests import children
from tests.small import assert_refused

DATA = ("search.datasets=[simulated]", "data.n_cells=60", "data.n_genes=50", "data.n_types=3")
TINY = ("search=n_clusters", *DATA, "method=pca_kmeans")


def trials(folder: Path, name: str = "n_clusters") -> pd.DataFrame:
    return pd.read_csv(folder / "runs" / "search" / name / "trials.csv")


def study(folder: Path, name: str = "n_clusters") -> optuna.Study:
    file = f"sqlite:///{folder}/runs/search/{name}/study.db"
    how = {"poolclass": NullPool}  # leaves no connection open
    storage = optuna.storages.RDBStorage(file, engine_kwargs=how)
    return optuna.load_study(study_name=name, storage=storage)


def start(folder: Path, *overrides: str, patch: str) -> children.Child:
    code = f"import jojoscl.runner.search, time\n{patch}\n{children.MAIN}"
    return children.start(code, *overrides, folder=folder)


# ---- one process ---------------------------------------------------------------------------------


def test_a_search_ends_with_its_table_and_a_command_of_the_best_settings(in_process, tmp_path):
    done = in_process(*TINY, "search.n_trials=2", "search.seeds=[0,1]")
    assert (done.code, done.err) == (0, "")
    table = trials(tmp_path)
    assert list(table["trial"]) == [0, 1]
    assert set(table["state"]) == {"complete"}
    best = table.loc[table["value"].idxmax()]
    line = done.out.splitlines()[-1].split()
    own = ["data=simulated", "seed=0,1", *DATA[1:], TINY[-1], f"n_clusters={best['n_clusters']}"]
    assert line == ["jojoscl", "-m", *own]

    runs = collect(tmp_path / "runs")
    means = runs.assign(k=runs["folder"].map(_asked)).groupby("k")["silhouette"].mean()
    assert list(table["value"]) == pytest.approx(list(means[table["n_clusters"]]))

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    assert in_process(*TINY, "search.n_trials=2", "search.seeds=[0,1]").code == 0
    pd.testing.assert_frame_equal(trials(tmp_path), table)
    assert in_process(*TINY, "search.n_trials=3", "search.seeds=[0,1]").code == 0
    pd.testing.assert_frame_equal(trials(tmp_path).iloc[:2], table)
    assert len(trials(tmp_path)) == 3
    assert {path: path.stat().st_mtime_ns for path in written} == written
    other = in_process(*TINY, "search.n_trials=3", "search.seeds=[1]")
    assert other.code == 2
    assert "holds a search with other settings" in other.err


def _asked(folder: str) -> Any:
    return yaml.safe_load((Path(folder) / "config.yaml").read_text())["n_clusters"]


def test_a_failing_trial_is_kept_with_its_reason_and_the_search_goes_on(in_process, tmp_path):
    done = in_process(*TINY, "search.n_trials=6", "search.space.n_clusters.high=120")
    assert (done.code, done.err) == (0, "")
    table = trials(tmp_path).set_index("n_clusters")
    assert len(table) == 6
    failed = table[table["state"] == "fail"]
    assert 0 < len(failed) < 6
    assert (failed.index > 60).all()
    for n_clusters, row in failed.iterrows():
        assert row["reason"].startswith(f"{n_clusters} clusters were asked for, but there are only")
        assert row["reason"] in done.out


def test_a_search_without_a_success_ends_with_1(in_process, tmp_path):
    done = in_process(*TINY, "search.n_trials=2", "search.space.n_clusters={low:61,high:70}")
    assert done.code == 1
    assert set(trials(tmp_path)["state"]) == {"fail"}


def test_every_search_that_ships_searches_settings_that_exist(subtests):
    for name in choices("search"):
        with subtests.test(name=name):
            settings: Search = build(compose([f"search={name}"]).search)
            params = optuna.create_study().ask(settings.distributions).params
            assert len(list(jobs(settings, [f"search={name}"], params))) == 1


def test_choices_are_written_as_hydra_reads_them():
    for choice, value in (("[128,64]", [128, 64]), (32, 32), (None, None), (True, True)):
        (override,) = as_overrides({"vary": choice})
        assert compose([override]).vary == value


def test_settings_of_a_search_are_checked():
    space = {"n_clusters": {"type": "int", "low": 2, "high": 3}}
    assert_refused(
        lambda given: Search(**{"datasets": ["yan"], "space": space} | given),
        ({"n_trials": 0}, "Search.n_trials must be at least 1, not 0"),
        ({"seeds": []}, "A search needs search.datasets, search.seeds and"),
        ({"space": {"k": {"type": "int", "low": 2, "high": 1}}}, "k is no parameter"),
        ({"space": {"k": {"type": "itn"}}}, r"k is no parameter .*ItnDistribution"),
        ({"space": {"k": 3}}, "k is no parameter"),
    )


def test_a_search_that_cannot_be_done_is_one_sentence(in_process, tmp_path, subtests):
    for argument, sentence in [
        ("data=yan", "A search has search.datasets= and search.seeds=, no data=."),
        (
            "-m",
            "A search is no sweep: leave out -m and launcher=, and give each setting one value.",
        ),
        ("launcher=joblib", "A search is no sweep: leave out -m and launcher="),
        ("+search.space.n_clusters.lgo=true", "search.space: n_clusters is no parameter"),
        ("+search.space.n_cluster={type:int,low:1,high:2}", "There is no setting 'n_cluster' (did"),
    ]:
        with subtests.test(argument=argument):
            done = in_process("search=n_clusters", "method=pca_kmeans", argument)
            assert done.code == 2
            assert done.err.startswith(f"jojoscl: {sentence}")
            assert done.err.count("\n") == 1
            assert not list(tmp_path.rglob("study.db"))


def test_a_damaged_study_is_one_sentence(in_process, tmp_path):
    assert in_process(*TINY, "search.n_trials=1").code == 0
    path = tmp_path / "runs" / "search" / "n_clusters" / "study.db"
    whole = path.read_bytes()
    for content in (b"no database", whole[: len(whole) // 2], whole[:4096] + b"x" * len(whole)):
        path.write_bytes(content)
        done = in_process(*TINY, "search.n_trials=2")
        assert done.code == 2
        assert done.err.startswith(f"jojoscl: {path.relative_to(tmp_path)} is damaged (")
        assert done.err.count("\n") == 1


# ---- several processes ---------------------------------------------------------------------------


def test_two_processes_share_a_search_and_propose_different_settings(tmp_path):
    arguments = (*TINY, "search.n_trials=6", "search.space.n_clusters.high=50")
    slow = "run = jojoscl.runner.search.run\njojoscl.runner.search.run = "
    slow += "lambda job, folder: time.sleep(0.3) or run(job, folder)"
    workers = [start(tmp_path, *arguments, patch=slow) for _ in range(2)]
    ends = [worker.ended() for worker in workers]
    assert [code for code, *_ in ends] == [0, 0], ends
    found = study(tmp_path).trials
    assert {trial.state.name for trial in found} == {"COMPLETE"}
    assert 6 <= len(found) <= 7, "two processes may both begin the last"
    assert len({trial.params["n_clusters"] for trial in found}) > 3
    said = [line.split(":")[0] for _, out, _ in ends for line in out.splitlines()]
    said = sorted(line for line in said if line.startswith("trial "))
    assert said == sorted(f"trial {trial.number}" for trial in found), "each by one process"


def test_the_trial_of_a_killed_process_is_done_again(in_process, tmp_path, monkeypatch):
    arguments = (*TINY, "search.n_trials=3")
    stuck = "jojoscl.runner.search.HEARTBEAT_SECONDS = 1\n"
    stuck += (
        "jojoscl.runner.search.run = lambda job, folder: print('on', flush=True) or time.sleep(600)"
    )
    worker = start(tmp_path, *arguments, patch=stuck)
    deadline = time.monotonic() + 240
    while "on" not in worker.out.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.process.kill()
    worker.process.join()
    time.sleep(3)  # the heart has stopped
    monkeypatch.setattr(jojoscl.runner.search, "HEARTBEAT_SECONDS", 1)
    done = in_process(*arguments)
    assert done.code == 0
    assert "3 of 3 trials are done" in done.out
    table = trials(tmp_path)
    assert table["state"].value_counts().to_dict() == {"complete": 3, "lost": 1}
    lost = table[table["state"] == "lost"]["n_clusters"].item()
    assert lost in set(table[table["state"] == "complete"]["n_clusters"])


def test_a_trial_without_a_score_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(jojoscl.runner.search, "run", lambda *_: {"silhouette": None})
    settings = build(compose(["search=n_clusters"]).search)
    with pytest.raises(UserError, match=r"pbmc68k_reduced, seed 0: the run has no silhouette."):
        jojoscl.runner.search.score(settings, ["search=n_clusters"], {"n_clusters": 3}, tmp_path)
