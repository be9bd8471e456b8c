"""What all methods share: checks, and stages that add up to the wall time, also of a call that goes on with another."""

import threading
import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from sklearn.base import clone
from threadpoolctl import threadpool_info

from jojoscl.core.interface import (
    Method,
    Result,
    alone,
    check_n_clusters,
    check_seed,
    n_threads,
    side_by_side,
)
from jojoscl.core.method import JojoSCL
from jojoscl.networks.module import SeededModule
from jojoscl.networks.paper import PaperJojoSCL
from jojoscl.networks.settings import Run
from jojoscl.utils.errors import UserError
from tests.small import assert_refused

PAPER = PaperJojoSCL(epochs=3, encoder_dims=[16, 8])

TWO_STAGES = ("pretrain_epochs=3", "epochs=3", "tolerance=0", "kmeans_starts=2")
SHORT: dict[str, tuple[str, ...]] = {
    "jojoscl": ("n_dims=8",),
    **dict.fromkeys(("jojoscl_paper", "jojoscl_released"), ("epochs=3", "encoder_dims=[16,8]")),
    **dict.fromkeys(("sccl", "contrastive_sc"), ("epochs=3",)),
    **dict.fromkeys(("scdeepcluster", "sczidesk"), TWO_STAGES),
    "seurat": ("preprocess.hvg_flavor=seurat",),
    **dict.fromkeys(("leiden_matched", "pca_kmeans", "random"), ()),
}


def clocked(method: Any, cells: AnnData, run: Run) -> tuple[dict[str, float], float]:
    """Seconds by stage, and wall time."""
    started = time.perf_counter()
    more = {"run": run} if method.takes_run else {}
    seconds = method.fit_predict(cells, 3, **more).seconds
    return seconds, time.perf_counter() - started


def test_stages_add_up_to_the_wall_time(method, bare, quiet, subtests):
    for name in SHORT:
        with subtests.test(name=name):
            for _ in range(3):  # a busy machine can stop the process between two looks at the clock
                seconds, wall = clocked(method(name, *SHORT[name]), bare, quiet)
                if sum(seconds.values()) == pytest.approx(wall, rel=0.02, abs=0.002):
                    break
            assert "earlier" not in seconds
            assert sum(seconds.values()) == pytest.approx(wall, rel=0.02, abs=0.002)
            assert seconds["other"] < 0.5 * wall or name == "random"


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["jojoscl_paper", "scdeepcluster"])
def test_seconds_of_a_call_that_was_cut_off_stand_beside(
    name, method, bare, quiet, tmp_path, monkeypatch
):
    run = replace(quiet, folder=tmp_path, trainer=replace(quiet.trainer, checkpoint_seconds=0))
    epoch_start = SeededModule.on_train_epoch_start

    def slow_and_dying(module: SeededModule) -> None:
        if module.current_epoch == 2:
            raise Killed
        time.sleep(0.2)
        epoch_start(module)

    with monkeypatch.context() as patched:
        patched.setattr(SeededModule, "on_train_epoch_start", slow_and_dying)
        with pytest.raises(Killed):
            method(name, *SHORT[name]).fit_predict(bare, 3, run=run)
    seconds, wall = clocked(method(name, *SHORT[name]), bare, run)
    assert seconds.pop("earlier") > 0.4  # two epochs
    assert sum(seconds.values()) == pytest.approx(wall, rel=0.02, abs=0.01)
    again, wall = clocked(method(name, *SHORT[name]), bare, run)  # all is trained
    assert again["earlier"] > 0.4
    assert again["train"] < wall


def test_a_wrong_number_of_clusters():
    assert_refused(
        lambda k: check_n_clusters(k, 10),
        (None, "not known"),
        (1, "at least 2"),
        (True, "whole"),
        (2.0, "whole"),
        (11, "only 10"),
    )


def test_whole_numbers_of_any_library_pass():
    for turned in (int, np.int64, np.uint8, np.array, lambda value: np.array(value, np.int32)):
        assert check_n_clusters(turned(10), 10) == 10
        assert type(check_n_clusters(turned(10), 10)) is type(check_seed(turned(7))) is int
    assert [check_seed(seed) for seed in (0, np.uint32(2**32 - 1))] == [0, 2**32 - 1]


def test_a_wrong_seed():
    wrong = (-1, 2**32, 0.5, True, np.True_, 4.0, np.float64(4), np.array([4]), "4", None)
    assert_refused(check_seed, *[(seed, "seed must be a whole number") for seed in wrong])


def test_a_call_has_one_thread_and_gives_back_the_others():
    before = threadpool_info()
    with alone():
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert threadpool_info() == before


def test_threads_in_the_words_of_scikit_learn(monkeypatch, subtests):
    for limit in ["", "1", "3", "a"]:
        with subtests.test(limit=limit):
            monkeypatch.setattr("joblib.effective_n_jobs", lambda n: {None: 1, -1: 8}.get(n, n))
            monkeypatch.setenv("OMP_NUM_THREADS", limit)
            everything = {"": 8, "1": 1, "3": 3, "a": 8}[limit]
            assert [n_threads(n) for n in (None, 1, 5, -1)] == [1, 1, 5, everything]
            with pytest.raises(UserError, match="not 0"):
                n_threads(0)


def test_tasks_run_side_by_side_and_their_own_tasks_do_not():
    barrier, main = threading.Barrier(2, timeout=20), threading.get_ident()

    def task() -> bool:
        barrier.wait()
        return threading.get_ident() in side_by_side([threading.get_ident])

    assert side_by_side([threading.get_ident]) == [main]
    with alone(n_jobs=2):
        assert side_by_side([task, task]) == [True, True]
        assert side_by_side(partial(int, i) for i in range(9)) == list(range(9))
    assert side_by_side([threading.get_ident]) == [main]


def test_a_method_without_its_algorithm_is_none():
    with pytest.raises(TypeError, match="fit_predict"):
        Method()


def test_a_method_is_cloned_by_scikit_learn():
    for method in (JojoSCL(n_draws=2, exponents=[0.5]), PAPER):
        made = clone(method)
        assert made == method
        assert made is not method
        assert made.preprocess is not method.preprocess


def test_settings_are_read_and_changed_as_in_scikit_learn():
    method = JojoSCL()
    assert method.set_params(n_draws=3, preprocess={"min_cells": 5}) is method
    params = method.get_params()
    assert (params["n_draws"], params["preprocess"].min_cells) == (3, 5)
    assert set(params) == set(method.plain())


def test_a_wrong_setting_changes_nothing():
    method = JojoSCL()
    assert_refused(
        lambda params: method.set_params(**params),
        ({"n_drws": 3}, "JojoSCL has no setting 'n_drws' .did you mean 'n_draws'"),
        ({"preprocess": {"min_cell": 3}}, "Preprocess has no setting 'min_cell'"),
        ({"n_draws": 3, "ridge": -1}, "ridge must be at least 0"),
    )
    assert method == JojoSCL()


def test_a_result_is_shown_in_one_line():
    labels = np.repeat([0, 1], [200, 100])
    result = Result(labels, np.zeros((300, 40)), {"assign": 1.5}, {"n_clusters_estimated": 2})
    assert repr(result) == (
        "Result: 300 cells in clusters of [200 100] (1.5 s, n_clusters_estimated 2)"
    )
