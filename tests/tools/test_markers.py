"""Markers are found where there are types, and not where there are none."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
import torch
from anndata import AnnData

import jojoscl
from jojoscl.tools.markers import level, rank

QUICK = jojoscl.JojoSCL(n_draws=1)


def test_a_row_for_each_cluster_and_gene_and_the_same_where_scanpy_puts_it(adata, tmp_path):
    table = jojoscl.markers(adata, method=QUICK)
    columns = ["group", "names", "scores", "logfoldchanges", "pvals", "pvals_adj"]
    assert list(table.columns) == columns
    assert len(table) == 3 * adata.n_vars
    kept = sc.get.rank_genes_groups_df(adata, "1", key="jojoscl_markers")["names"]
    assert list(kept) == list(table["names"][table["group"] == "1"])
    adata.write_h5ad(tmp_path / "x.h5ad")


def test_the_first_of_each_cluster_are_high_in_it(adata):
    table = jojoscl.markers(adata, method=QUICK)
    share = adata.X.toarray()
    share /= share.sum(1, keepdims=True)
    for group, rows in table.groupby("group", observed=True):
        inside = (adata.obs["jojoscl_markers"] == group).to_numpy()
        first = adata.var_names.get_indexer(rows["names"][:5])
        ratio = np.log2(share[inside].mean(0) / share[~inside].mean(0))[first]
        assert (ratio > 0.5).all()
        found = rows["logfoldchanges"][:5]  # of half of the counts
        np.testing.assert_allclose(found, ratio, atol=1.5)
        assert inside.sum() < 30 or rows["pvals_adj"].iloc[0] < 0.05  # fewer are too few for it


def test_one_type_has_no_markers_where_the_circular_way_finds_some():
    false, any_found, circular = [], [], []
    for seed in range(6):
        adata = jojoscl.simulate(150, 200, 1, dropout=0, seed=seed)
        jojoscl.cluster(adata, 2, n_draws=1)
        table = jojoscl.markers(adata, method=QUICK, seed=seed)
        false.append(np.mean(table["pvals"] < 0.01))
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
        sc.tl.rank_genes_groups(adata, "jojoscl", method="wilcoxon")
        circular.append(np.mean(sc.get.rank_genes_groups_df(adata, None)["pvals"] < 0.01))
        any_found.append((table["pvals_adj"] <= 0.05).any())
    assert np.mean(false) < 0.025
    assert sum(any_found) <= 1  # at 5 %, one of six by chance
    assert np.mean(circular) > 2 * np.mean(false)


def test_clusters_are_those_of_the_splits(adata):
    assert jojoscl.split_tests(adata, method=QUICK)["kept"].all()
    jojoscl.markers(adata, method=QUICK)
    both = pd.crosstab(adata.obs["jojoscl_markers"], adata.obs["jojoscl_splits"])
    assert (both.to_numpy().diagonal() > 0.9 * both.sum(axis=1)).all()


def test_a_gene_of_one_sample_marks_no_cluster(adata):
    samples = np.arange(120) % 3 % 2
    x = adata.X.tocsr()
    leveled = level(x, samples)
    for sample in (0, 1):
        there = x[samples == sample].sum(0).A1 > 0
        mean = leveled[samples == sample].mean(0).A1
        np.testing.assert_allclose(mean[there], x.mean(0).A1[there], rtol=1e-4)


def test_threads_of_torch_stay(adata):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        jojoscl.markers(adata, method=QUICK)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_scanpy_draws_what_is_in_uns(adata):
    jojoscl.markers(adata, method=QUICK)
    assert sc.pl.rank_genes_groups(adata, key="jojoscl_markers", show=False)
    sc.pl.rank_genes_groups_dotplot(
        adata, key="jojoscl_markers", n_genes=2, dendrogram=False, show=False
    )
    plt.close("all")


def test_markers_of_all_cells_but_one():
    cells = AnnData(np.random.default_rng(0).random((20, 5), np.float32))
    cells.obs["own"] = pd.Categorical(["large"] * 19 + ["one"])
    rank(cells, "own", ["large"])
    assert len(sc.get.rank_genes_groups_df(cells, "large", key="own")) == 5


def test_a_cluster_of_most_cells_is_tested_by_the_size_of_the_others():
    """One type, 285 cells against 15: as many small p values as chance has, in both clusters."""
    rng = np.random.default_rng(0)
    false = []
    for _ in range(8):
        cells = AnnData(sp.csr_matrix(rng.poisson(1.0, (300, 200)).astype(np.float32)))
        cells.obs["own"] = pd.Categorical(np.where(np.arange(300) < 285, "others", "small"))
        sc.pp.normalize_total(cells, target_sum=1)
        rank(cells, "own", ["others", "small"])
        table = sc.get.rank_genes_groups_df(cells, None, key="own").groupby("group", observed=True)
        false.append([(of["pvals"] < 0.01).mean() for _, of in table])
        large, small = (of.set_index("names") for _, of in table)
        pd.testing.assert_series_equal(large["scores"], -small["scores"][large.index], rtol=1e-5)
        assert (np.diff(large["scores"]) <= 0).all()
    assert np.max(np.mean(false, axis=0)) < 0.015
