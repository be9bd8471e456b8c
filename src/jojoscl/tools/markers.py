"""Marker genes whose p values hold: clusters of one half of the counts, tested on the other."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from threadpoolctl import threadpool_limits

from jojoscl.cells.checks import samples_of, without_labels
from jojoscl.core.interface import Method
from jojoscl.core.linkage import one_hot
from jojoscl.tools.annotate import put
from jojoscl.tools.halves import HalfClusters, half_clusters, stages_of
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import progress


def markers(
    adata: AnnData,
    key: str = "jojoscl",
    *,
    n_clusters: int | None = None,
    method: Method | None = None,
    batch_key: str | None = None,
    layer: str | None = None,
    kind: str = "auto",
    seed: int = 0,
    progress_bar: bool | None = None,
) -> pd.DataFrame:
    """Rank the genes of each cluster by counts that did not make the clusters.

    The genes that make clusters differ between them, even where there is nothing: their p values
    are too small. So each count is split into two independent halves (:mod:`jojoscl.tools.halves`).
    The first half is clustered anew, the same way and with the same seed as in
    :func:`jojoscl.split_tests`. On the second, a t-test compares each cluster with
    all other cells. It takes the size of the smaller side for both, because the variance of a few
    cells is often too small.

    What is compared are shares of a cell's counts. Their mean does not depend on the cell's total,
    while that of logarithms does, and clusters often differ in total: a Wilcoxon test of logarithms
    finds markers of one type too.

    Parameters
    ----------
    adata, key, n_clusters, method, batch_key, layer, kind, seed, progress_bar
        As in :func:`jojoscl.split_tests`. With `batch_key` each gene is first scaled to the same
        mean in each sample, so that a gene of one sample marks no cluster.

    Returns
    -------
    A row for each cluster and gene, the highest score first: group, names, scores, logfoldchanges,
    pvals, pvals_adj (Benjamini and Hochberg). ``attrs["ari"]`` is the agreement of these clusters
    with ``obs[key]``. ``uns[key + "_markers"]`` has the table as scanpy's ``rank_genes_groups``
    leaves it, for ``sc.pl.rank_genes_groups(adata, key="jojoscl_markers")``; ``obs[key +
    "_markers"]`` has the clusters of the first half, named as :func:`jojoscl.split_tests` names
    them. A cluster of one cell is left out.

    Raises
    ------
    UserError
        What is wrong with the counts or a setting, and what to do; `adata` is then as it was.

    Examples
    --------
    >>> jojoscl.cluster(adata)  # doctest: +SKIP
    >>> jojoscl.markers(adata).groupby("group").head(5)  # doctest: +SKIP
    """
    with progress("markers", stages_of(method), progress_bar):
        half = half_clusters(adata, key, n_clusters, method, batch_key, layer, kind, seed)
        return put_markers(adata, key, half)


def put_markers(adata: AnnData, key: str, half: HalfClusters) -> pd.DataFrame:
    """Rank the genes of the clusters of a half, and put what :func:`markers` puts."""
    name = f"{key}_markers"
    groups = [str(half.names[k]) for k in np.flatnonzero(np.bincount(half.labels) > 1)]
    if len(half.names) < 2 or not groups:
        raise UserError(
            "The clusters of half of the counts are too few or too small for markers: ask for "
            "others."
        )
    cells = without_labels(half.cells)
    cells.X = half.second
    cells.obs[name] = pd.Categorical.from_codes(half.labels, pd.Index(half.names, dtype=object))
    # Shares, which are so small that scanpy's fold changes, made for log1p, are those of shares
    sc.pp.normalize_total(cells, target_sum=1)
    if (samples := samples_of(half.cells)) is not None:
        cells.X = level(cells.X, samples)
    rank(cells, name, groups)
    table = sc.get.rank_genes_groups_df(cells, None, key=name)
    if len(groups) == 1:
        table.insert(0, "group", groups[0])
    table.attrs["ari"] = half.ari
    column = half.column(half.names[half.labels], half.names)
    put(adata, {name: column}, uns={name: cells.uns[name]})
    return table


def level(x: sp.csr_matrix, samples: np.ndarray) -> sp.csr_matrix:
    """Return x (n, genes), each gene scaled to the same mean in each sample that has it."""
    of_sample = one_hot(samples)
    means = (of_sample.T @ x).toarray() / np.bincount(samples)[:, None]
    factors = np.divide(x.mean(0).A1, means, where=means > 0, out=np.ones_like(means))
    row = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    data = x.data * factors[samples[row], x.indices]
    return sp.csr_matrix((data.astype(np.float32), x.indices, x.indptr), x.shape)


def rank(cells: AnnData, name: str, groups: list[str]) -> None:
    """Rank the genes of groups in ``obs[name]`` by scanpy's t-test, into ``uns[name]``.

    The test takes the size of its group for both sides, and that must not be the larger one: the
    sides of a group of more than half of the cells are exchanged.
    """
    test = partial(sc.tl.rank_genes_groups, cells, method="t-test_overestim_var")
    sizes = cells.obs[name].value_counts()
    # numba, which scanpy uses, would leave torch with another number of threads
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)  # of scanpy's own table
        test(name, groups=groups, key_added=name)
        large, n_others = str(sizes.index[0]), cells.n_obs - sizes.iloc[0]
        if large in groups and 1 < n_others < sizes.iloc[0]:  # one cell has no variance
            rest = f"not {large}"
            cells.obs["side"] = pd.Categorical(np.where(cells.obs[name] == large, large, rest))
            test("side", groups=[rest], reference=large, key_added=rest)
            for field in ("names", "pvals", "pvals_adj", "scores", "logfoldchanges"):
                values = cells.uns[rest][field][rest][::-1]
                signed = field in ("scores", "logfoldchanges")
                cells.uns[name][field][large] = -values if signed else values
