"""Encoder, heads and the momentum update. Where autocast computes in bfloat16, outputs are float32 as inputs are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Sequential):
    """Linear-BatchNorm-ReLU per layer, output on the unit sphere: (B, dims[0]) -> (B, dims[-1]).

    `plain_last` leaves the last layer linear (Contrastive-sc).
    """

    def __init__(self, dims: Sequence[int], plain_last: bool = False) -> None:
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(itertools.pairwise(dims), start=2):
            last = i == len(dims)
            plain = last and plain_last
            layers += (
                [nn.Linear(n_in, n_out)]
                if plain
                else [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
            )
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return h (B, dims[-1]) of cells x (B, dims[0])."""
        return F.normalize(super().forward(x).to(x.dtype))


class Head(nn.Sequential):
    """Linear layers with ReLU between them; output normalised ("unit") or a distribution ("softmax")."""

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
    """theta_key = momentum * theta_key + (1 - momentum) * theta_query, in place, parameters only (He et al. 2020)."""
    torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 1 - momentum)
