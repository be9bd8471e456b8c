"""Contrastive losses: pure functions of tensors."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(z_a: Tensor, z_b: Tensor, temperature: float, similarity: str = "cosine") -> Tensor:
    """Return the normalised-temperature cross-entropy of two views.

    For the 2B rows z of both views, s_ij their similarity and i' the row of the other view that
    belongs to i::

        mean_i [ log sum_(j != i) exp(s_ij / temperature)  -  s_ii' / temperature ]

    Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020,
    equation 1.

    Parameters
    ----------
    z_a, z_b
        (B, d); row i of both belongs to the same item.
    temperature
        Divides the similarities.
    similarity
        "cosine" normalises the rows. "dot" does not: for rows of length 1 both are the same.

    Returns
    -------
    A scalar, at least 0.

    Examples
    --------
    >>> two_items = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(nt_xent(two_items, two_items, temperature=1.0).item(), 4)  # log(e + 2) - 1
    0.5514
    """
    if similarity == "cosine":
        z_a, z_b = F.normalize(z_a), F.normalize(z_b)
    a, b = z_a / math.sqrt(temperature), z_b / math.sqrt(temperature)
    with torch.autocast(a.device.type, enabled=False):  # bfloat16 has too few digits for exp(s)
        across = a @ b.T  # (B, B); its diagonal holds the positives
        within_a = (a @ a.T).fill_diagonal_(-math.inf)
        within_b = (b @ b.T).fill_diagonal_(-math.inf)
        rows_a = torch.logsumexp(torch.cat([within_a, across], 1), 1)  # (B,), over 2B - 1 rows
        rows_b = torch.logsumexp(torch.cat([within_b, across.T], 1), 1)
        return ((rows_a + rows_b) / 2 - across.diagonal()).mean()


def entropy_regulariser(p: Tensor, axis: str = "true_axis") -> Tensor:
    """Return log K + sum_k pbar_k log pbar_k for soft assignments p (B, K).

    It is 0 if the clusters have equal sizes and log K if all cells are in one.

    `axis` "released" averages over the clusters in place of the cells, as JojoSCL's released code
    does. Each row of p sums to one, so the value is then 0 for any p: nothing prevents collapse.

    Examples
    --------
    >>> entropy_regulariser(torch.eye(2)).item()
    0.0
    """
    mean = p.mean(0) if axis == "true_axis" else p.sum(1) / p.shape[0]
    return math.log(len(mean)) + torch.special.xlogy(mean, mean).sum()
