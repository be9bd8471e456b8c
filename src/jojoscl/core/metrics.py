"""Agreement of labels with annotated types, and properties of embeddings."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix


def accuracy(truth: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of cells whose cluster is their type's by the best one-to-one matching.

    >>> accuracy(np.array(["a", "a", "b"]), np.array([1, 1, 0]))
    1.0
    """
    table = contingency_matrix(truth, labels)
    return float(table[linear_sum_assignment(-table)].sum() / table.sum())


def macro_f1(truth: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean F1 of types and clusters, by the one-to-one matching that makes it largest.

    Each type counts the same, however few its cells are; one without a cluster counts 0.

    >>> macro_f1(np.array(["a"] * 98 + ["b", "b"]), np.zeros(100, dtype=int)) < 0.5
    True
    """
    table = contingency_matrix(truth, labels)
    f1 = 2 * table / (table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True))
    return float(f1[linear_sum_assignment(-f1)].sum() / len(table))


def best_clusters(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the number of cells of each type, and recall and precision of its best cluster.

    The best cluster of a type is the one with the largest F1; of equal ones the first. Several
    types may have the same best cluster.

    Parameters
    ----------
    truth, labels
        The type and the cluster of each cell, (n,).

    Returns
    -------
    A row a type, in sorted order: number of cells, recall, precision, (n_types, 3).

    Examples
    --------
    >>> best_clusters(np.array(["a", "a", "a", "a", "b"]), np.array([0, 0, 0, 1, 1]))
    array([[4.  , 0.75, 1.  ],
           [1.  , 1.  , 0.5 ]])
    """
    table = contingency_matrix(truth, labels)
    in_type, in_cluster = table.sum(axis=1), table.sum(axis=0)
    best = np.argmax(2 * table / np.add.outer(in_type, in_cluster), axis=1)
    shared = table[np.arange(len(table)), best]
    return np.column_stack([in_type, shared / in_type, shared / in_cluster[best]])


def scores(truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return ARI (Hubert & Arabie 1985), NMI (arithmetic mean), ACC, macro F1 of labels (n,)."""
    return {
        "ari": float(adjusted_rand_score(truth, labels)),
        "nmi": float(normalized_mutual_info_score(truth, labels)),
        "acc": accuracy(truth, labels),
        "f1": macro_f1(truth, labels),
    }


def silhouette(
    embedding: np.ndarray, labels: np.ndarray, *, max_cells: int = 5000, seed: int = 0
) -> float | None:
    """Return the mean silhouette (Rousseeuw 1987) of `embedding` (n, d) under `labels` (n,).

    Above `max_cells` cells a random subset is used. Returns None if there is one cluster, or one
    for each cell. A method that pulls its clusters together gets a high score for that alone.
    """
    chosen = np.random.default_rng(seed).permutation(len(labels))[:max_cells]
    if not 1 < len(np.unique(labels[chosen])) < len(chosen):
        return None
    return float(silhouette_score(embedding[chosen], labels[chosen]))


def cosine_gap(z_a: np.ndarray, z_b: np.ndarray) -> float:
    """Return the mean cosine of a cell's two views less that of others; unit rows (n, d)."""
    n = len(z_a)
    positive = float(np.einsum("ij,ij->", z_a, z_b)) / n
    everything = float(z_a.sum(0) @ z_b.sum(0))
    return positive - (everything - n * positive) / (n * (n - 1))
