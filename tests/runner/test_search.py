"""Searches by Optuna: shared by processes, resumed, label-free unless said otherwise."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml

pytest.importorskip("optuna")

import optuna
from sqlalchemy.pool import NullPool

import jojoscl.runner.search
from jojoscl.runner.config import build, compose, conf_dir
from jojoscl.runner.search import Search
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError
from tests import children

if TYPE_CHECKING:  # several folders have a conftest
    from conftest import InProcess

DATA = ("search.datasets=[simulated]", "data.n_cells=60", "data.n_genes=50", "data.n_types=3")
TINY = ("search=n_clusters", *DATA, "method=pca_kmeans")


def trials(folder: Path, name: str = "n_clusters") -> pd.DataFrame:
    return pd.read_csv(folder / "runs" / "search" / name / "trials.csv")


def study(folder: Path, name: str = "n_clusters") -> optuna.Study:
    file = f"sqlite:///{folder}/runs/search/{name}/study.db"
    storage = optuna.storages.RDBStorage(
        file, engine_kwargs={"poolclass": NullPool}
    )  # leaves no connection open
    return optuna.load_study(study_name=name, storage=storage)


def start(folder: Path, *overrides: str, patch: str = "") -> children.Child:
    code = f"import jojoscl.runner.search, os, time\n{patch}\n{children.MAIN}"
    return children.start(code, *overrides, folder=folder)


# ---- one process ---------------------------------------------------------------------------------


def test_a_search_ends_with_its_table_and_the_best_settings(
    in_process: InProcess, tmp_path: Path
) -> None:
    done = in_process(*TINY, "search.n_trials=4", "search.seeds=[0,1]")
    assert (done.code, done.err) == (0, "")
    table = trials(tmp_path)
    assert list(table["trial"]) == [0, 1, 2, 3]
    assert set(table["state"]) == {"complete"}
    assert set(table["score"]) == {"silhouette"}
    best = table.loc[table["value"].idxmax()]
    command = "jojoscl search.datasets"  # what makes a search is not in the line
    assert command not in done.out
    line = done.out.splitlines()[-1].split()
    assert line == ["jojoscl", *DATA[1:], TINY[-1], f"n_clusters={best['n_clusters']}"]

    runs = collect(tmp_path / "runs")
    means = runs.assign(k=runs["folder"].map(_asked)).groupby("k")["silhouette"].mean()
    assert list(table["value"]) == pytest.approx(list(means[table["n_clusters"]])), (
        "the mean over seeds"
    )


def _asked(folder: str) -> Any:
    return yaml.safe_load((Path(folder) / "config.yaml").read_text())["n_clusters"]


def test_a_finished_search_repeats_nothing_and_takes_more_trials(
    in_process: InProcess, tmp_path: Path
) -> None:
    in_process(*TINY, "search.n_trials=2")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    first = trials(tmp_path)
    assert in_process(*TINY, "search.n_trials=2").code == 0
    pd.testing.assert_frame_equal(trials(tmp_path), first)
    assert in_process(*TINY, "search.n_trials=3").code == 0
    pd.testing.assert_frame_equal(trials(tmp_path).iloc[:2], first)
    assert len(trials(tmp_path)) == 3
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_failing_trial_is_kept_with_its_reason_and_the_search_goes_on(
    in_process: InProcess, tmp_path: Path
) -> None:
    done = in_process(*TINY, "search.n_trials=6", "search.space.n_clusters.high=120")
    assert (done.code, done.err) == (0, "")
    table = trials(tmp_path).set_index("n_clusters")
    assert len(table) == 6
    failed = table[table["state"] == "fail"]
    assert 0 < len(failed) < 6
    assert (failed.index > 60).all()
    for n_clusters, row in failed.iterrows():
        assert row["reason"].startswith(
            f"{n_clusters} clusters were asked for, but there are only 60 cells"
        )
        assert row["reason"] in done.out


def test_a_search_without_a_success_ends_with_1(in_process: InProcess, tmp_path: Path) -> None:
    done = in_process(*TINY, "search.n_trials=2", "search.space.n_clusters={low:61,high:70}")
    assert done.code == 1
    assert set(trials(tmp_path)["state"]) == {"fail"}


def test_true_labels_judge_only_when_asked_and_the_study_says_so(
    in_process: InProcess, tmp_path: Path
) -> None:
    label_free = in_process(*TINY, "search.n_trials=1")
    oracle = in_process(*TINY, "search.n_trials=1", "search.score=ari")
    assert "ORACLE" not in label_free.out
    assert "(ORACLE: the true labels judged; to compare only)" in oracle.out
    assert trials(tmp_path, "n_clusters-oracle")["by_true_labels"].all()
    assert not trials(tmp_path)["by_true_labels"].any()
    assert study(tmp_path, "n_clusters-oracle").user_attrs["oracle"] is True
    assert study(tmp_path).user_attrs["oracle"] is False


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (conf_dir() / "search").glob("*.yaml"))
)
def test_every_search_that_ships_is_label_free_and_searches_settings_that_exist(name: str) -> None:
    settings: Search = build(compose([f"search={name}"]).search)
    assert not settings.oracle
    params = optuna.create_study().ask(settings.distributions).params
    (cfg,) = jojoscl.runner.search.configs(settings, [f"search={name}"], params)
    build(cfg.method)


def test_choices_are_written_as_hydra_reads_them() -> None:
    choices = [[128, 64], None, True, 0.5, "cosine"]
    space = {"method.instance_dims": {"type": "categorical", "choices": choices}}
    settings = build(compose(["search=default"]).search)
    settings = Search(**vars(settings) | {"space": space})
    for choice, written in zip(
        choices, settings.distributions["method.instance_dims"].choices, strict=True
    ):
        (cfg,) = jojoscl.runner.search.configs(
            settings, ["method=jojoscl_paper"], {"method.instance_dims": written}
        )
        assert cfg.method.instance_dims == choice


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("data=yan",),
            "In a search data= is given as search.datasets=[...]: a trial is a run on each.",
        ),
        (
            ("seed=1",),
            "In a search seed= is given as search.seeds=[...]: a trial is a run on each.",
        ),
        (
            ("launcher=joblib",),
            "A search uses no launcher: start the same command several times, they share the",
        ),
        (("-m",), "A search is no sweep: leave out -m and give each setting one value."),
        (("method.n_dims=1,2",), "A search is no sweep"),
        (("search.n_trials=0",), "Search.n_trials must be at least 1, not 0."),
        (
            ("search.seeds=[]",),
            "A search needs at least one of each: search.datasets, search.seeds and search.space.",
        ),
        (
            ("search.score=silhouete",),
            "Search.score has no value 'silhouete' (did you mean 'silhouette'?).",
        ),
        (("search.space.n_clusters.high=1",), "search.space: n_clusters makes no int parameter ("),
        (
            ("search.space.n_clusters.type=itn",),
            "search.space: n_clusters needs a type (did you mean 'int'?).",
        ),
        (
            ("+search.space.n_cluster={type:int,low:1,high:2}",),
            "There is no setting 'n_cluster' (did you mean 'n_clus",
        ),
        (("search.datasets=[blader]",), "data has no choice 'blader' (did you mean 'bladder'?)."),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(
    in_process: InProcess, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = in_process("search=n_clusters", "method=pca_kmeans", *arguments)
    assert done.code == 2
    assert done.err.startswith(f"jojoscl: {sentence}")
    assert done.err.count("\n") == 1
    assert not list(tmp_path.rglob("study.db"))


def test_a_search_with_other_settings_is_not_mixed_in(in_process: InProcess) -> None:
    in_process(*TINY, "search.n_trials=1")
    done = in_process(*TINY, "search.n_trials=1", "search.seeds=[1]")
    assert done.code == 2
    assert "holds a search with other settings" in done.err


# ---- several processes ---------------------------------------------------------------------------


def test_a_trial_that_ended_after_the_list_was_read_is_not_taken_up(tmp_path: Path) -> None:
    """The other process tells its result, then frees its lock; the list of trials is from before."""
    settings = build(compose(["search=n_clusters", "search.n_trials=1"]).search)
    worker = jojoscl.runner.search.Worker(settings, (), tmp_path)
    opened = worker.open()
    claimed = worker.claim(opened)
    assert claimed is not None
    trial, lock = claimed
    real = type(opened).trials.fget
    before = real(opened)
    opened.tell(trial, 0.5)
    lock.release()
    lists = iter([before])

    class Late(type(opened)):  # type: ignore[misc]
        trials = property(lambda self: next(lists, None) or real(self))

    opened.__class__ = Late
    assert worker.claim(opened) is None


def test_two_processes_share_a_search_and_lose_and_repeat_nothing(
    in_process: InProcess, tmp_path: Path
) -> None:
    n_trials = 8
    arguments = (*TINY, f"search.n_trials={n_trials}", "search.space.n_clusters.high=50")
    logged = "run = jojoscl.runner.search.run\ndef slow(cfg, folder):\n    time.sleep(0.2)\n    return run(cfg, folder)\n"
    workers = [
        start(tmp_path, *arguments, patch=logged + "jojoscl.runner.search.run = slow")
        for _ in range(2)
    ]
    ends = [worker.ended() for worker in workers]
    assert [code for code, *_ in ends] == [0, 0], ends
    found = study(tmp_path).trials
    assert [trial.number for trial in found] == list(range(n_trials))
    assert {trial.state.name for trial in found} == {"COMPLETE"}
    said = [
        line.split(":")[0]
        for _, out, _ in ends
        for line in out.splitlines()
        if line.startswith("trial ")
    ]
    assert sorted(said) == [f"trial {number}" for number in range(n_trials)], "each by one process"
    assert len(collect(tmp_path / "runs")) == len({trial.params["n_clusters"] for trial in found})

    (tmp_path / "alone").mkdir()
    os.chdir(tmp_path / "alone")
    in_process(*arguments)
    alone = [trial.params for trial in study(tmp_path / "alone").trials]
    assert alone == [trial.params for trial in found], "a trial proposes the same, whoever does it"


def _proposed(arguments: tuple[str, ...], number: int) -> Any:
    settings = build(
        compose(["search=n_clusters", *(a for a in arguments if a.startswith("search."))]).search
    )
    trials = optuna.create_study(sampler=jojoscl.runner.search.make_sampler(settings, number))
    return trials.ask(settings.distributions).params["n_clusters"]


def test_what_a_killed_process_left_is_done_again_and_nothing_else(
    in_process: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (*TINY, "search.n_trials=4", "search.space.n_clusters.high=60")
    proposed = [_proposed(arguments, number) for number in range(4)]
    assert len(set(proposed)) == 4, "else a trial waits for the run of another"
    stuck = "jojoscl.runner.search.run = lambda cfg, folder: time.sleep(600)"
    worker = start(tmp_path, *arguments, patch=stuck).process
    deadline = time.monotonic() + 240
    while not list(tmp_path.rglob("trial0.lock")) and time.monotonic() < deadline:
        time.sleep(0.05)
    while_it_lives = in_process(*arguments)
    assert while_it_lives.code == 0
    assert "3 of 4 trials are done, 1 run in other processes" in while_it_lives.out
    worker.kill()
    worker.join()

    ran = []
    run = jojoscl.runner.search.run
    monkeypatch.setattr(
        jojoscl.runner.search,
        "run",
        lambda cfg, folder: ran.append(cfg.n_clusters) or run(cfg, folder),
    )
    after = in_process(*arguments)
    assert after.code == 0
    assert "4 of 4 trials are done, 0 run in other processes" in after.out
    cut_off, *_ = study(tmp_path).trials
    assert ran == [cut_off.params["n_clusters"]]
    table = trials(tmp_path)
    assert set(table["state"]) == {"complete"}
    assert list(table["trial"]) == [0, 1, 2, 3]
    assert list(table["n_clusters"]) == proposed
    assert in_process(*arguments).code == 0
    assert len(study(tmp_path).trials) == 4


def test_the_same_run_in_two_trials_is_done_once(in_process: InProcess, tmp_path: Path) -> None:
    done = in_process(*TINY, "search.n_trials=4", "search.space.n_clusters.high=3")
    assert done.code == 0
    assert len(trials(tmp_path)) == 4
    assert len(collect(tmp_path / "runs")) == 2


def test_a_trial_without_a_score_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jojoscl.runner.search, "run", lambda *_: {"silhouette": None})
    settings = build(compose(["search=n_clusters"]).search)
    worker = jojoscl.runner.search.Worker(settings, ("search=n_clusters",), tmp_path)
    trial = optuna.create_study().ask(settings.distributions)
    with pytest.raises(UserError, match=r"pbmc68k_reduced, seed 0: the run has no silhouette."):
        worker.score(trial)


@pytest.mark.parametrize("how", ["foreign", "overwritten", "emptied of tables"])
def test_a_damaged_study_is_one_sentence(in_process: InProcess, tmp_path: Path, how: str) -> None:
    assert in_process(*TINY, "search.n_trials=1").code == 0
    path = tmp_path / "runs" / "search" / "n_clusters" / "study.db"
    if how == "foreign":
        path.write_text("no database at all" * 100)
    elif how == "overwritten":
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"x" * (len(content) - 4096))
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript("DROP TABLE trials; DROP TABLE studies;")
    done = in_process(*TINY, "search.n_trials=2")
    assert done.code == 2
    assert done.err.startswith(f"jojoscl: {path.relative_to(tmp_path)} cannot be used as a study (")
    assert done.err.count("\n") == 1
