"""The matrix products that training is made of, by the faster of the libraries that torch holds."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
_LEAST_WEIGHTS = 20_000  # a smaller layer's products take less time than oneDNN's start


class Linear(nn.Linear):
    """torch's layer, x W^T + b, with the same parameters. On a CPU with AVX-512 its float32 products are oneDNN's.

    torch itself takes MKL's, which on AMD's processors need more than twice the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b, (B, n_out), for x (B, n_in), W (n_out, n_in) and b (n_out,)."""
    if torch.compiler.is_compiling() or not _fast(x, weight):
        return F.linear(x, weight, bias)
    return _OneDNNLinear.apply(x, weight, bias)


def _fast(x: Tensor, weight: Tensor) -> bool:
    in_float32_on_cpu = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    large = len(x) > 0 and weight.numel() >= _LEAST_WEIGHTS
    return _ONEDNN and in_float32_on_cpu and large and not torch.is_autocast_enabled("cpu")


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _times(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), needed = ctx.saved_tensors, ctx.needs_input_grad
        return (
            _times(g, weight.T) if needed[0] else None,
            _times(g.T, x.T) if needed[1] else None,
            g.sum(0) if needed[2] else None,
        )


def _times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
