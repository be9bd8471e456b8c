"""Halves of counts are independent of each other, for Poisson and for overdispersed counts."""

import contextlib
from typing import Any, ClassVar

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.baselines.controls import PCAKMeans
from jojoscl.datasets.simulate import simulate
from jojoscl.tools.halves import dispersion, halves, matching_names


def test_halves_add_up_to_the_counts(cells):
    first, second = halves(cells.X, seed=0)
    assert (first + second != cells.X).nnz == 0
    assert first.data.min() >= 1
    assert second.data.min() >= 1
    assert first.dtype == second.dtype == np.float32
    assert abs(first.sum() / cells.X.sum() - 0.5) < 0.02


def test_the_seed_decides_and_the_counts_stay(cells):
    before = cells.X.copy()
    one, two, other = (halves(cells.X, seed=seed)[0] for seed in (0, 0, 1))
    assert (one != two).nnz == 0
    assert (one != other).nnz > 0
    assert (before != cells.X).nnz == 0


def correlations(first: sp.csr_matrix, second: sp.csr_matrix) -> np.ndarray:
    a, b = (half.toarray() for half in (first, second))
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)])


def test_halves_are_uncorrelated_where_a_binomial_leaves_them_correlated(subtests):
    for known in [0.0, 0.5, 2.0]:
        with subtests.test(known=known):
            counts = sp.csr_matrix(
                simulate(3000, 100, 1, dispersion=known, dropout=0, library_sd=0, seed=2).X
            )
            assert abs(correlations(*halves(counts, seed=0)).mean()) < 0.02
            kept = counts.copy()
            kept.data = (
                np.random.default_rng(0).binomial(counts.data.astype(int), 0.5).astype(np.float32)
            )
            binomial = correlations(kept, counts - kept).mean()
            assert binomial > 0.1 if known else abs(binomial) < 0.02


def test_the_dispersion_is_found_in_spite_of_library_sizes(subtests):
    for known in [0.0, 0.3, 1.0]:
        with subtests.test(known=known):
            counts = simulate(5000, 50, 1, dispersion=known, dropout=0, library_size=800, seed=1).X
            assert np.median(dispersion(counts)) == pytest.approx(known, abs=0.05)


def test_the_dispersion_of_a_gene_without_counts_or_without_zeros():
    counts = sp.csr_matrix(np.array([[0, 5, 1], [0, 5, 0], [0, 5, 9]], np.float32))
    found = dispersion(counts)
    assert np.isfinite(found).all()
    assert found[0] == 0
    assert found[2] > found[1]


QUICK = jojoscl.JojoSCL(n_draws=1)


def test_names_are_those_of_the_clusters_with_most_cells_in_common():
    own = np.array(["b", "b", "a", "a", "c", "c"])
    assert list(matching_names(np.array([0, 0, 1, 1, 2, 2]), own)) == ["b", "a", "c"]
    assert matching_names(np.array([0, 0, 1, 1, 1, 1]), own)[0] == "b"
    assert list(matching_names(np.array([0, 1, 2, 2, 3, 3]), own)) in (
        ["b", "0", "a", "c"],
        ["0", "b", "a", "c"],
    )
    labels = np.array([0, 0, 1, 1, 0, 1])
    assert set(matching_names(labels, np.array(["a"] * 5 + ["b"]))) == {"a", "b"}
    assert set(matching_names(labels, np.array(["a"] * 6))) == {"a", "0"}


class Spy(jojoscl.JojoSCL):
    """Notes the settings and the samples with which the half is clustered."""

    seen: ClassVar[list[tuple[Any, ...]]] = []

    def fit_predict(self, cells: AnnData, n_clusters: int | None, **how: Any) -> Any:
        batches = None if "_batch" not in cells.obs else cells.obs["_batch"].nunique()
        Spy.seen.append((self.n_draws, self.preprocess.n_top_genes, batches))
        return super().fit_predict(cells, n_clusters, **how)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    monkeypatch.setattr("jojoscl.tools.halves.JojoSCL", Spy)
    Spy.seen.clear()
    return Spy.seen


def test_the_settings_of_the_call_are_taken_by_default(cells, seen, tmp_path):
    adata = cells.copy()
    adata.layers["counts"], adata.X = adata.X, np.log1p(adata.X.toarray())
    jojoscl.cluster(adata, 3, layer="counts", n_draws=2, preprocess={"n_top_genes": None})
    adata.write_h5ad(tmp_path / "a.h5ad")
    for read in (adata, anndata.read_h5ad(tmp_path / "a.h5ad")):
        seen.clear()
        jojoscl.split_tests(read)
        jojoscl.markers(read)
        jojoscl.split_tests(read, method=Spy(n_draws=1), layer="counts")
        assert seen == [(2, None, None), (2, None, None), (1, 2000, None)]


def test_the_samples_of_the_call_are_taken_by_default(cells, seen):
    """As `cluster` leaves them, without its run, which needs harmonypy."""
    adata = cells.copy()
    adata.obs["donor"] = ["a", "b"] * 60
    adata.obs["mine"] = adata.obs["cell_type"]
    asked = {"method": "jojoscl", "batch_key": "donor", "settings": {"n_draws": 1}}
    adata.uns["mine"] = {"params": asked}
    with contextlib.suppress(jojoscl.UserError, ImportError):
        jojoscl.split_tests(adata, "mine")
    assert seen == [(1, 2000, 2)]
    jojoscl.split_tests(adata, "mine", method=PCAKMeans())


def test_a_clustering_by_something_else(cells, subtests):
    for made in [{"params": {"resolution": 1.0}}, {"params": "x"}, "x", 3]:
        with subtests.test(made=made):
            adata = cells.copy()
            adata.obs["mine"], adata.uns["mine"] = adata.obs["cell_type"], made
            assert len(jojoscl.split_tests(adata, "mine", method=QUICK)) == 2


def test_another_method_is_named(adata, caplog):
    adata.uns["jojoscl"]["params"]["method"] = "sccl"
    jojoscl.split_tests(adata)
    assert "the clusters are by sccl, those of the half are by jojoscl" in caplog.text


def test_the_log_says_how_much_the_clusterings_share(adata, caplog):
    caplog.set_level("INFO")
    table = jojoscl.split_tests(adata, method=QUICK)
    jojoscl.markers(adata, method=QUICK)
    both = adata.obs["jojoscl"], adata.obs["jojoscl_markers"]
    assert table.attrs["ari"] == pytest.approx(adjusted_rand_score(*both))
    assert f"agree with obs['jojoscl'] by {table.attrs['ari']:.2f}" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}
    adata.obs["mine"] = np.random.default_rng(0).permutation(adata.obs["jojoscl"].astype(str))
    assert abs(jojoscl.markers(adata, "mine", method=QUICK).attrs["ari"]) < 0.1
    assert [r.levelname for r in caplog.records if r.levelname != "INFO"] == ["WARNING"]


def test_cells_without_a_cluster_are_no_cluster(adata):
    adata.obs["mine"] = adata.obs["jojoscl"].where(np.arange(120) % 4 > 0)
    table = jojoscl.split_tests(adata, "mine", method=QUICK)
    assert len(table) == 2
    assert table["n_left"][0] + table["n_right"][0] == 90
    assert adata.obs["mine_splits"].isna().tolist() == adata.obs["mine"].isna().tolist()
    assert "nan" not in set(adata.obs["mine_splits"].cat.categories)
    alone = adata[adata.obs["mine"].notna()].copy()
    alone_table = jojoscl.split_tests(alone, "mine", method=QUICK)
    pd.testing.assert_frame_equal(table, alone_table)
    jojoscl.markers(adata, "mine", method=QUICK)
    assert adata.obs["mine_markers"].isna().sum() == 30
