"""Agreement of labels with annotated types, and properties of embeddings: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix


def accuracy(truth: np.ndarray, labels: np.ndarray) -> float:
    """Share of cells whose cluster is matched to their type by the best one-to-one matching (Hungarian).

    >>> accuracy(np.array(["a", "a", "b"]), np.array([1, 1, 0]))
    1.0
    """
    table = contingency_matrix(truth, labels)
    return float(table[linear_sum_assignment(-table)].sum() / table.sum())


def macro_f1(truth: np.ndarray, labels: np.ndarray) -> float:
    """Mean over types of the F1 of type and cluster, by the one-to-one matching that makes it largest.

    Each type counts the same, however few its cells are; one without a cluster counts 0.

    >>> macro_f1(np.array(["a"] * 98 + ["b", "b"]), np.zeros(100, dtype=int)) < 0.5
    True
    """
    table = contingency_matrix(truth, labels)
    f1 = 2 * table / (table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True))
    return float(f1[linear_sum_assignment(-f1)].sum() / len(table))


def scores(truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """ARI (Hubert & Arabie 1985), NMI (arithmetic mean), ACC, macro F1 of labels (n,) against annotated types (n,)."""
    return {
        "ari": float(adjusted_rand_score(truth, labels)),
        "nmi": float(normalized_mutual_info_score(truth, labels)),
        "acc": accuracy(truth, labels),
        "f1": macro_f1(truth, labels),
    }


def silhouette(
    embedding: np.ndarray, labels: np.ndarray, *, max_cells: int = 5000, seed: int = 0
) -> float | None:
    """Mean silhouette (Rousseeuw 1987) of `embedding` (n, d) under `labels` (n,): label-free, in [-1, 1].

    Of more than `max_cells` cells so many are drawn. None where it is not defined: one cluster, or
    one for every cell. It compares partitions in the space of each: a method that contracts its
    clusters is praised for it.
    """
    chosen = np.random.default_rng(seed).permutation(len(labels))[:max_cells]
    if not 1 < len(np.unique(labels[chosen])) < len(chosen):
        return None
    return float(silhouette_score(embedding[chosen], labels[chosen]))


def cosine_gap(z_a: np.ndarray, z_b: np.ndarray) -> float:
    """Mean cosine of the same cell in two views minus that of different cells; z_a, z_b (n, d) with unit rows."""
    n = len(z_a)
    positive = float(np.einsum("ij,ij->", z_a, z_b)) / n
    everything = float(z_a.sum(0) @ z_b.sum(0))
    return positive - (everything - n * positive) / (n * (n - 1))
