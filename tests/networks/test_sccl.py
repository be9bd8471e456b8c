"""ScCCL is JojoSCL's module with other settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from anndata import AnnData
from torch import nn

from jojoscl.core.metrics import scores
from jojoscl.networks.settings import Run


def test_sccl_is_jojoscl_without_sure(method: Callable[..., Any]) -> None:
    model = method("sccl")
    assert (model.sure, model.name, model.assign_on) == ("none", "sccl", "z")
    assert (model.cluster_similarity, model.entropy) == ("dot", "released")
    net = model.module(50, 4, 100, seed=0, epochs=2)
    assert [layer.out_features for layer in net.query if isinstance(layer, nn.Linear)] == [
        200,
        40,
        60,
    ]
    assert [layer.out_features for layer in net.cluster_head if isinstance(layer, nn.Linear)] == [
        40,
        4,
    ]
    assert [layer.out_features for layer in net.instance_head if isinstance(layer, nn.Linear)] == [
        100,
        100,
    ]


def test_sccl_takes_an_oracle_and_marks_its_choice(
    method: Callable[..., Any], cells: AnnData, bare: AnnData, quiet: Run
) -> None:
    truth = np.asarray(cells.obs["cell_type"])
    result = method("sccl", "epochs=3").fit_predict(
        bare, 3, run=quiet, oracle=lambda y: scores(truth, y)["ari"]
    )
    assert "selected_epoch" in result.info
    assert result.last_labels is not None
