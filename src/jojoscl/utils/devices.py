"""Cells on their way to a device."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

Cells = TypeVar("Cells")


def sent(x: Cells, device: torch.device | str) -> Cells:
    """Return a tensor, or a named tuple of tensors, on a device.

    A GPU that is still at work is not waited for, as it would be for a copy from memory that is not
    pinned.
    """
    if isinstance(x, tuple):
        return x._make(sent(part, device) for part in x)  # type: ignore[attr-defined]
    assert isinstance(x, Tensor)
    device = torch.device(device)
    if device.type == "cuda":
        return (x.pin_memory() if x.device.type == "cpu" else x).to(device, non_blocking=True)  # type: ignore[return-value]
    return (x.float() if device.type == "mps" and x.dtype == torch.float64 else x).to(device)  # type: ignore[return-value]
