"""Contrastive losses: pure functions of tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_WHOLE = 1536  # cells; of a larger batch no B x B matrix is made, which is faster there
_ROWS = 256  # but similarities to so many cells at a time; on a GPU, which wants few large blocks, to 16 times as many


def nt_xent(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross-entropy over the 2B rows of two views.

    Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020,
    eq. 1: each row's positive is the same row of the other view, its negatives are the 2B - 2
    others. Similarities are dot products: normalise the rows for cosines.

    Parameters
    ----------
    z_a, z_b
        (B, d), row i of both is the same item.
    temperature
        Divides the similarities.

    >>> nt_xent(torch.eye(2), torch.eye(2), temperature=0.01).round().item()
    0.0
    """
    a, b = z_a / math.sqrt(temperature), z_b / math.sqrt(temperature)
    with torch.autocast(
        a.device.type, enabled=False
    ):  # three digits are too few for what is exponentiated
        if len(a) > _WHOLE:
            rows_a, rows_b = _LogSums.apply(a, b).chunk(2)
            positives = (a * b).sum(1)
        else:
            across = a @ b.T  # a view without gradient, as the key's, costs no backward product
            within_a, within_b = (
                (a @ a.T).fill_diagonal_(-math.inf),
                (b @ b.T).fill_diagonal_(-math.inf),
            )
            rows_a = torch.logsumexp(torch.cat([within_a, across], 1), 1)
            rows_b = torch.logsumexp(torch.cat([within_b, across.T], 1), 1)
            positives = across.diagonal()
        return ((rows_a + rows_b) / 2 - positives).mean()


class _LogSums(torch.autograd.Function):
    """log sum_(j != i) exp(s_ij), (2B,), with s = z z^T of the rows z = [a; b], (2B, d).

    Its gradient, from g that of the sums: dz_i = sum_j (g_i exp(s_ij - logsum_i) + g_j exp(s_ij -
    logsum_j)) z_j.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        z = torch.cat([a, b])
        sums = torch.cat([_similarities(z, rows).logsumexp(1) for rows in _blocks(z, 0, len(z))])
        ctx.save_for_backward(z, sums)
        return sums

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        z, sums = ctx.saved_tensors
        gradient, n = torch.empty_like(z), len(z) // 2
        needed = ctx.needs_input_grad  # the key's are not
        for rows in _blocks(z, 0 if needed[0] else n, 2 * n if needed[1] else n):
            s = _similarities(z, rows)
            weights = (s - sums[rows, None]).exp_().mul_(g[rows, None])
            torch.mm(weights.add_(s.sub_(sums).exp_().mul_(g)), z, out=gradient[rows])
        return tuple(d if want else None for d, want in zip(gradient.chunk(2), needed, strict=True))


def _blocks(z: Tensor, start: int, stop: int) -> list[slice]:
    size = _ROWS if z.device.type == "cpu" else 16 * _ROWS
    return [slice(i, min(i + size, stop)) for i in range(start, stop, size)]


def _similarities(z: Tensor, rows: slice) -> Tensor:
    """z[rows] z^T, and -inf of a row with itself."""
    s = z[rows] @ z.T
    s[:, rows].fill_diagonal_(-math.inf)
    return s


def cluster_contrast(
    p_a: Tensor, p_b: Tensor, temperature: float, similarity: str = "cosine"
) -> Tensor:
    """NT-Xent over the K columns of two soft assignments (B, K): a cluster is the B-vector of its members.

    Li et al., "Contrastive clustering", AAAI 2021, eq. 6. `similarity` "dot" is what JojoSCL's
    released code uses: the columns are not normalised, and logits grow with B.
    """
    columns_a, columns_b = p_a.T, p_b.T
    if similarity == "cosine":
        columns_a, columns_b = F.normalize(columns_a), F.normalize(columns_b)
    return nt_xent(columns_a, columns_b, temperature)


def entropy_regulariser(p: Tensor, axis: str = "true_axis") -> Tensor:
    """Log K + sum_k pbar_k log pbar_k for soft assignments p (B, K): 0 when balanced, log K at collapse.

    `axis` "released" averages over the clusters instead of the cells, as JojoSCL's released code
    does: every row of p sums to one, so it is 0 for any p and nothing prevents collapse.
    """
    mean = p.mean(0) if axis == "true_axis" else p.sum(1) / p.shape[0]
    return math.log(len(mean)) + torch.special.xlogy(mean, mean).sum()
