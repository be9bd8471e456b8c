"""What every method checks, and how its seconds add up."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import torch

from jojoscl.methods.base import Result, check_n_clusters, check_seed, estimated, isolated_and_timed
from jojoscl.utils.errors import UserError


@pytest.mark.parametrize(
    ("k", "words"), [(None, "not known"), (1, "at least 2"), (True, "whole"), (2.0, "whole"), (11, "only 10")]
)
def test_a_wrong_number_of_clusters(k: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_n_clusters(k, 10)  # type: ignore[arg-type]


def test_right_numbers_pass() -> None:
    assert check_n_clusters(np.int64(10), 10) == 10
    assert [check_seed(seed) for seed in (0, np.uint32(2**32 - 1))] == [0, 2**32 - 1]
    assert estimated(None, 7) == {"n_clusters_estimated": 7}
    assert estimated(7, 7) == {}


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True, None])
def test_a_wrong_seed(seed: object) -> None:
    with pytest.raises(UserError, match="seed must be a whole number"):
        check_seed(seed)  # type: ignore[arg-type]


def test_stages_add_up_to_wall_time_and_global_state_stays() -> None:
    @isolated_and_timed
    def fit_predict() -> Result:
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        torch.manual_seed(1)
        time.sleep(0.05)
        return Result(np.zeros(2, int), np.zeros((2, 1)), {"train": 0.02})

    states = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    began = time.perf_counter()
    result = fit_predict()
    assert sum(result.seconds.values()) == pytest.approx(time.perf_counter() - began, rel=0.02, abs=0.005)
    assert result.seconds["train"] == 0.02
    assert states == (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())  # noqa: NPY002
