"""Tensors, and tuples of them, on a device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from jojoscl.utils.devices import sent


class Pair(NamedTuple):
    """Two tensors."""

    a: Tensor
    b: Tensor


def test_a_tensor_and_a_named_tuple() -> None:
    x = torch.arange(3)
    assert torch.equal(sent(x, "cpu"), x)
    pair = sent(Pair(x, x + 1), torch.device("meta"))
    assert isinstance(pair, Pair)
    assert pair.a.device.type == pair.b.device.type == "meta"
    assert pair.b.shape == (3,)
