"""ScCCL is JojoSCL's module with other settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from jojoscl.networks.paper import PaperModule


def test_sccl_is_jojoscl_without_sure(method: Callable[..., Any]) -> None:
    model = method("sccl")
    assert (model.sure, model.name, model.assign_on) == ("none", "sccl", "z")
    assert (model.cluster_similarity, model.entropy) == ("dot", "released")
    net = PaperModule(model, n_genes=50, n_clusters=4, n_cells=100, seed=0, max_epochs=2)
    parts = net.query, net.cluster_head, net.instance_head
    widths = [[x.out_features for x in part if isinstance(x, nn.Linear)] for part in parts]
    assert widths == [[200, 40, 60], [40, 4], [100, 100]]
