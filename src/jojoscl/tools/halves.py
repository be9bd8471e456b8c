"""Counts split into two independent halves, and the clusters of the first, for tests on the second.

Each count x of gene j is split by a beta-binomial, A | x ~ BetaBinomial(x, r_j / 2, r_j / 2) and B
= x - A. Where the count is negative binomial with variance mu + mu^2 / r_j, the halves are
independent negative binomials of half the mean (Neufeld, Dharamshi, Gao & Witten, "Data thinning
for convolution-closed distributions", JMLR 2024). The plain binomial, r_j infinite, is right for
Poisson counts only: with overdispersed ones a cell that is high by chance is so in both.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from jojoscl.cells.checks import as_cells, check_in_memory, without_labels
from jojoscl.cells.matrix import canonical
from jojoscl.core.interface import Method, check_n_clusters, check_seed
from jojoscl.core.linkage import in_common
from jojoscl.core.method import JojoSCL
from jojoscl.tools.annotate import check_method, there
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import finished

log = logging.getLogger(__name__)

SIMILAR = 0.8  # ARI below which the clusters of the half are said to be others
BAND = 1 << 16  # entries that are drawn at a time: they stay in the processor's cache


def halves(counts: sp.csr_matrix, *, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return two CSR matrices (n, n_genes) float32 that add up to `counts`."""
    rng, of_gene = np.random.default_rng(seed), dispersion(counts)
    first, second = counts.copy(), counts.copy()
    for start in range(0, counts.nnz, BAND):
        band = slice(start, start + BAND)
        x = counts.data[band].astype(np.int64)
        several = np.flatnonzero(x > 1)
        of_entry = of_gene[counts.indices[band][several]]
        over, share = of_entry > 0, np.full(len(several), 0.5)
        share[over] = rng.beta(0.5 / of_entry[over], 0.5 / of_entry[over])
        first.data[band] = x * rng.integers(2, size=len(x))  # right for a single count, for any r_j
        first.data[start + several] = rng.binomial(x[several], share)
    second.data -= first.data
    for half in (first, second):
        half.eliminate_zeros()
    return first, second


def dispersion(counts: sp.csr_matrix) -> np.ndarray:
    """Return 1 / r_j (n_genes,) over all cells, given their totals: the larger of two estimates.

    The first is by the variance; it leaves a gene's halves uncorrelated whatever its distribution.
    The second is by how often the gene is zero: where counts are lost, uncorrelated halves would
    still be zero together. What differs between cell types counts as dispersion too. So a single
    gene never tells two groups apart; several that vary together do.
    """
    x = counts.astype(np.float64)
    totals, of_gene = np.asarray(x.sum(1)).ravel(), np.asarray(x.sum(0)).ravel()
    share = of_gene / totals.sum()
    squares, with_total = share**2 * np.square(totals).sum(), x.T @ totals
    x.data *= x.data
    excess = np.asarray(x.sum(0)).ravel() - 2 * share * with_total + squares - of_gene
    by_variance = np.maximum(excess / np.maximum(squares, 1e-300), 0)
    x.data[:] = counts.data > 0
    zero = 1 - np.asarray(x.sum(0)).ravel() / counts.shape[0]
    return np.maximum(by_variance, _by_zeros(zero, share, totals))


def _by_zeros(zero: np.ndarray, share: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the dispersion (n_genes,) at which zeros are as frequent as seen, by bisection."""
    mean = np.quantile(totals, (np.arange(10) + 0.5) / 10)[:, None] * share
    low, high = np.full(len(share), 1e-6), np.full(len(share), 1e4)
    for _ in range(40):
        middle = np.sqrt(low * high)
        above = np.exp(-np.log1p(middle * mean) / middle).mean(0) > zero
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where((low < 2e-6) | (share == 0), 0, low)


class HalfClusters(NamedTuple):
    """The clusters of one half of the counts.

    Attributes
    ----------
    cells
        The checked cells (n, n_genes) that are in a cluster.
    first, second
        The halves of their counts, CSR.
    labels, names
        The clusters (n,) of the first half, numbered, and their names (K,).
    own, ari
        The clusters (n,) of the user, in words, and how far both agree.
    embedding
        (n, d), in which they were found.
    inside
        Which cells of the user's AnnData these are, bool.
    """

    cells: AnnData
    first: sp.csr_matrix
    second: sp.csr_matrix
    labels: np.ndarray
    names: np.ndarray
    own: np.ndarray
    ari: float
    embedding: np.ndarray
    inside: np.ndarray

    def column(self, words: np.ndarray, categories: Iterable[str]) -> pd.Categorical:
        """Return the words of these cells (n,) as a column of all; NaN outside."""
        of_all = np.full(len(self.inside), None, object)
        of_all[self.inside] = words
        return pd.Categorical(of_all, pd.Index(list(categories), dtype=object))


def half_clusters(
    adata: AnnData,
    key: str,
    n_clusters: int | None = None,
    method: Method | None = None,
    batch_key: str | None = None,
    layer: str | None = None,
    kind: str = "auto",
    seed: int = 0,
) -> HalfClusters:
    """Return the halves of the counts, and the clusters of the first (see :func:`split_tests`)."""
    own, seed = there(adata, "obs", key), check_seed(seed)
    method, how = _as_before(adata.uns.get(key), method, batch_key, layer, kind)
    inside = own.notna().to_numpy()
    some = adata if inside.all() else adata[inside].copy()
    cells = as_cells(some, **how)
    own = own[inside].astype(str).to_numpy()
    k = check_n_clusters(len(set(own)) if n_clusters is None else n_clusters, cells.n_obs)
    first, second = _halves_of(cells, seed)
    half = without_labels(cells)
    half.X = first
    finished("halves")
    result = method.fit_predict(half, None if method.finds_k else k, seed=seed)
    labels = np.unique(result.labels, return_inverse=True)[1]
    names = matching_names(labels, own)
    order = np.array(sorted(range(len(names)), key=lambda k: str(names[k]).zfill(9)))
    labels, names = np.argsort(order)[labels], names[order]
    ari = float(adjusted_rand_score(own, labels))
    say = log.info if ari >= SIMILAR else log.warning
    say("the tested clusters, of half of the counts, agree with obs[%r] by %.2f (ARI)", key, ari)
    return HalfClusters(cells, first, second, labels, names, own, ari, result.embedding, inside)


def _as_before(
    made: object, method: Method | None, batch_key: str | None, layer: str | None, kind: str
) -> tuple[Method, dict[str, Any]]:
    """Return the method, and what :func:`as_cells` is asked for.

    What is not given is that of the call which made the clusters, in `made`; another program may
    have put anything there.
    """
    params = made.get("params") if isinstance(made, Mapping) else None
    asked = params if isinstance(params, Mapping) else {}
    method = _default(asked) if method is None else method
    check_method(method, batch_key)
    if batch_key is None and method.takes_batch:
        batch_key = asked.get("batch_key")
    kind = asked.get("kind", "auto") if kind == "auto" else kind
    return method, {"layer": layer or asked.get("layer"), "kind": kind, "batch_key": batch_key}


def _halves_of(cells: AnnData, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return the halves of the counts of checked cells, if both have some of each cell."""
    if (kind := cells.uns["kind"]) != "counts":
        raise UserError(f"Only counts can be split into halves, and these are {kind}: give counts.")
    check_in_memory(cells)
    first, second = halves(canonical(cells.X), seed=seed)
    few = np.flatnonzero((totals_of(first) == 0) | (totals_of(second) == 0))
    if len(few):
        least = int(totals_of(cells.X)[few].max()) + 1
        raise UserError(
            f"{len(few)} cells have too few counts to be split into halves: drop them, "
            f"for instance by scanpy.pp.filter_cells(adata, min_counts={least})."
        )
    return first, second


def stages_of(method: Method | None) -> tuple[str, ...]:
    """Return the stages of :func:`half_clusters` by a method, and of what uses them."""
    return "halves", *getattr(method or JojoSCL, "stages", ()), "tests"


def _default(asked: Mapping[str, Any]) -> Method:
    """Return the default method, with the settings that made the clusters if they are its own."""
    if (name := asked.get("method", JojoSCL.name)) == JojoSCL.name:
        return JojoSCL.of(asked.get("settings", {}))
    log.warning("the clusters are by %s, those of the half are by jojoscl: give method=", name)
    return JojoSCL()


def matching_names(labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return names (K,) of the clusters `labels` (n,): those of `own` (n,), one to one.

    Together the pairs share as many cells as possible. A cluster without a partner, or with one
    that has none of its cells, is called by the first whole number that is no name yet.
    """
    words, codes = np.unique(own, return_inverse=True)
    shared = in_common(labels, codes)
    pairs = zip(*linear_sum_assignment(-shared), strict=True)
    names = {k: name for k, name in pairs if shared[k, name]}
    free = (str(i) for i in range(len(words) + len(shared)) if str(i) not in words)
    return np.array(
        [words[names[k]] if k in names else next(free) for k in range(len(shared))], dtype=object
    )


def totals_of(counts: sp.csr_matrix) -> np.ndarray:
    """Return the totals (n,) of the cells."""
    return np.asarray(counts.sum(1), dtype=np.float64).ravel()
