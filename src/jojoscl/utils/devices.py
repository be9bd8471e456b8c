"""Cells on their way to a device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sent(x: Any, device: torch.device | str) -> Any:
    """A tensor, or a named tuple of tensors, on a device.

    A GPU that is still at work is not waited for, as it would be for a copy from memory that is not pinned.
    """
    if isinstance(x, tuple):
        return x._make(sent(part, device) for part in x)  # type: ignore[attr-defined]
    device = torch.device(device)
    x = x.float() if device.type == "mps" and x.dtype == torch.float64 else x  # it has no doubles
    return _pinned(x).to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def _pinned(x: Tensor) -> Tensor:
    return x.pin_memory() if x.device.type == "cpu" else x
