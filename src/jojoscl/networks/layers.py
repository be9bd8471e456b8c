"""Encoder, heads and the momentum update.

Under autocast layers compute in bfloat16; outputs are float32, as inputs are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Sequential):
    """Linear, BatchNorm and ReLU per layer: (B, dims[0]) -> (B, dims[-1]), rows of length 1.

    With `plain_last` the last layer is linear alone (Contrastive-sc).
    """

    def __init__(self, dims: Sequence[int], plain_last: bool = False) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(dims):
            layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
        super().__init__(*(layers[:-2] if plain_last else layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return h (B, dims[-1]) for cells x (B, dims[0])."""
        return F.normalize(super().forward(x).to(x.dtype))


class Head(nn.Sequential):
    """Linear layers with ReLU between them.

    Rows of the output have length 1 ("unit") or sum to 1 ("softmax").
    """

    def __init__(self, dims: Sequence[int], output: str) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(dims):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        super().__init__(*layers[:-1])
        self.output = output

    def forward(self, h: Tensor) -> Tensor:
        """Return (B, dims[-1]) for h (B, dims[0])."""
        out = super().forward(h).to(h.dtype)
        return F.normalize(out) if self.output == "unit" else out.softmax(1)


@torch.no_grad()
def momentum_update(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Update the parameters of `key` in place (He et al., CVPR 2020)."""
    # theta_key = momentum theta_key + (1 - momentum) theta_query
    torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 1 - momentum)
