from __future__ import annotations

import torch
from torch import nn

from jojoscl.networks.layers import Encoder, Head, momentum_update


def test_encoder_maps_to_the_unit_sphere() -> None:
    encoder = Encoder([20, 16, 8])
    h = encoder(torch.randn(10, 20))
    assert h.shape == (10, 8)
    torch.testing.assert_close(h.norm(dim=1), torch.ones(10))
    assert (h >= 0).all()  # the last layer has a ReLU ...
    assert (
        Encoder([20, 16, 8], plain_last=True)(torch.randn(10, 20)) < 0
    ).any()  # ... unless it is left linear


def test_heads() -> None:
    x = torch.randn(10, 8)
    torch.testing.assert_close(Head([8, 6, 4], "unit")(x).norm(dim=1), torch.ones(10))
    p = Head([8, 6, 4], "softmax")(x)
    torch.testing.assert_close(p.sum(1), torch.ones(10))
    assert [type(layer) for layer in Head([8, 6, 4], "unit")] == [nn.Linear, nn.ReLU, nn.Linear]


def test_momentum_update_equals_the_closed_form_and_leaves_buffers_alone() -> None:
    m, steps = 0.9, 7
    query, key = Encoder([5, 4]), Encoder([5, 4])
    start = [p.clone() for p in key.parameters()]
    query(torch.randn(32, 5) + 3)  # moves the query's running mean, not the key's
    for _ in range(steps):
        momentum_update(key, query, m)
    for p, before, target in zip(key.parameters(), start, query.parameters(), strict=True):
        torch.testing.assert_close(p, m**steps * before + (1 - m**steps) * target)
    assert key[1].running_mean.abs().sum() == 0
    assert query[1].running_mean.abs().sum() > 0
