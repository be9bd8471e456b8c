"""Contrastive losses against slow references written cell by cell."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jojoscl.networks.losses import entropy_regulariser, nt_xent


def slow_nt_xent(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """The formula of Chen et al., one anchor at a time."""
    z, n = [*z_a, *z_b], len(z_a)
    total = torch.zeros((), dtype=z_a.dtype)
    for i in range(2 * n):
        positive = torch.exp(z[i] @ z[(i + n) % (2 * n)] / temperature)
        everyone = sum(torch.exp(z[i] @ z[j] / temperature) for j in range(2 * n) if j != i)
        total = total - torch.log(positive / everyone)
    return total / (2 * n)


def pair(n: int, d: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(n)
    a, b = (torch.randn(n, d, generator=g, dtype=torch.float64).requires_grad_() for _ in range(2))
    return a, b


def test_nt_xent_value_and_gradient(subtests):
    for n, temperature in product([1, 2, 7], [0.07, 1.0]):
        with subtests.test(n=n, temperature=temperature):
            a, b = pair(n, 5)
            fast = nt_xent(a, b, temperature)
            slow = slow_nt_xent(F.normalize(a), F.normalize(b), temperature)
            torch.testing.assert_close(fast, slow)
            torch.testing.assert_close(
                torch.autograd.grad(fast, (a, b)), torch.autograd.grad(slow, (a, b))
            )


def test_contrast_of_clusters_by_either_similarity(subtests):
    for similarity in ["cosine", "dot"]:
        with subtests.test(similarity=similarity):
            a, b = pair(9, 4)
            fast = nt_xent(a.softmax(1).T, b.softmax(1).T, 0.5, similarity)
            columns = [x.softmax(1).T for x in (a, b)]
            slow = slow_nt_xent(
                *(columns if similarity == "dot" else map(F.normalize, columns)), 0.5
            )
            torch.testing.assert_close(fast, slow)
            torch.testing.assert_close(
                torch.autograd.grad(fast, (a, b)), torch.autograd.grad(slow, (a, b))
            )


def test_entropy_is_zero_when_balanced_and_log_k_at_collapse():
    balanced = torch.eye(4).repeat(8, 1)
    collapsed = torch.zeros(32, 4).index_fill(1, torch.tensor([2]), 1.0)
    assert entropy_regulariser(balanced) == pytest.approx(0, abs=1e-6)
    assert entropy_regulariser(collapsed) == pytest.approx(math.log(4))


def test_entropy_gradient_spreads_cells_over_clusters():
    logits = torch.tensor([[3.0, 0.0]]).repeat(5, 1).requires_grad_()
    entropy_regulariser(logits.softmax(1)).backward()
    assert (logits.grad[:, 0] > 0).all()
    assert (logits.grad[:, 1] < 0).all()


def test_released_entropy_is_zero_for_any_assignment():
    for seed in range(5):
        g = torch.Generator().manual_seed(seed)
        p = (3 * torch.randn(50, 6, generator=g, dtype=torch.float64)).softmax(1)
        assert entropy_regulariser(p, "released") == pytest.approx(0, abs=1e-12)
