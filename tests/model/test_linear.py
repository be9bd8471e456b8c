"""oneDNN's products against torch's own: values, gradients, and where they are not taken."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from jojoscl.model import linear as products
from jojoscl.model.linear import Linear, linear

needs_onednn = pytest.mark.skipif(not products._ONEDNN, reason="oneDNN's products are taken on CPUs with AVX-512 only")


def leaves(n_cells: int, n_in: int, n_out: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(n_in)
    shapes = ((n_cells, n_in), (n_out, n_in), (n_out,))
    return [torch.randn(shape, generator=rng).requires_grad_() for shape in shapes]


@needs_onednn
@pytest.mark.parametrize(("n_cells", "n_in", "n_out"), [(256, 2000, 64), (7, 200, 600), (1, 300, 100), (0, 300, 100)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_double_precision(n_cells: int, n_in: int, n_out: int, bias: bool) -> None:
    parts = leaves(n_cells, n_in, n_out)[: 3 if bias else 2]
    wide = [part.detach().double().requires_grad_() for part in parts]
    found, expected = linear(*parts[:2], parts[2] if bias else None), F.linear(*wide)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)
    weights = torch.linspace(-1, 1, found.numel()).view_as(found)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for part, other in zip(parts, wide, strict=True):
        torch.testing.assert_close(part.grad.double(), other.grad, rtol=1e-4, atol=1e-3)


@needs_onednn
def test_a_transposed_batch_and_an_input_without_gradient() -> None:
    x, weight, bias = leaves(64, 400, 80)
    turned = x.detach().T.contiguous().T
    loss = linear(turned, weight, bias).square().mean()
    gradient = torch.autograd.grad(loss, weight)[0]
    expected = torch.autograd.grad(F.linear(turned, weight, bias).square().mean(), weight)[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["double", "autocast", "small"])
def test_where_torch_computes_it_the_bits_are_torchs(case: str) -> None:
    x, weight, bias = leaves(16, 100, 100) if case == "small" else leaves(16, 400, 100)
    if case == "double":
        x, weight, bias = (part.double() for part in (x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))


def test_the_layer_has_the_weights_of_torchs() -> None:
    torch.manual_seed(0)
    ours = Linear(300, 100)
    torch.manual_seed(0)
    theirs = torch.nn.Linear(300, 100)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = torch.randn(5, 300)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
