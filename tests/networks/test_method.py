"""From cells to a result: what all methods that train share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anndata import AnnData

from jojoscl.networks.settings import Run
from jojoscl.utils.errors import UserError


def test_only_the_papers_method_estimates_the_number_of_clusters(
    method: Callable[..., Any], bare: AnnData, quiet: Run
) -> None:
    found = method("jojoscl_paper", "encoder_dims=[8,4]", "epochs=1").fit_predict(
        bare, None, run=quiet
    )
    assert found.info["n_clusters_estimated"] == len(set(found.labels))
    assert found.seconds["estimate"] > 0
    with pytest.raises(UserError, match="number of clusters is not known"):
        method("sccl").fit_predict(bare, None, run=quiet)


def test_an_oracle_is_refused_where_the_last_epoch_is_kept(
    method: Callable[..., Any], bare: AnnData, quiet: Run
) -> None:
    with pytest.raises(UserError, match="keeps the last epoch"):
        method("contrastive_sc").fit_predict(bare, 3, run=quiet, oracle=lambda labels: 0.0)


def test_a_call_that_goes_on_says_what_was_trained_earlier(
    method: Callable[..., Any], bare: AnnData, quiet: Run, tmp_path: Path
) -> None:
    run = replace(quiet, folder=tmp_path)
    short = method("contrastive_sc", "epochs=2")
    first = short.fit_predict(bare, 3, run=run)
    assert {"preprocess", "train", "assign", "other"} == set(first.seconds)
    again = short.fit_predict(bare, 3, run=run)
    assert again.seconds["earlier"] > 0
    assert again.history == first.history
