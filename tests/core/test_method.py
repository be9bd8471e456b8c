"""The default method: it finds types, repeats, does not depend on where cells are kept, and says what it shrank."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.cells.checks import as_cells, without_labels
from jojoscl.core.interface import Result
from jojoscl.core.method import JojoSCL
from jojoscl.core.metrics import macro_f1
from jojoscl.core.positives import nearest
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError
from tests.small import assert_refused


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """120 simulated cells of 3 types, told apart by more genes than those of `conftest`."""
    return simulate(n_cells=120, n_genes=1000, n_types=3, seed=1)


@pytest.fixture(scope="module")
def hard() -> AnnData:
    """300 cells of 5 types that few genes tell apart."""
    return simulate(300, 400, 5, library_size=800.0, fold_change_sd=1.0, seed=2)


def fitted(cells: AnnData, k: int | None = 3, seed: int = 0, **settings: object) -> Result:
    return JojoSCL.of(settings).fit_predict(without_labels(cells), k, seed=seed)


def ari(cells: AnnData, result: Result) -> float:
    return float(adjusted_rand_score(cells.obs["cell_type"], result.labels))


def test_the_number_of_threads_changes_no_bit():
    cells = simulate(2600, 400, 5, library_size=300.0, seed=3)  # two batches
    one, two = (fitted(cells, 5, n_jobs=n_jobs) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.embedding, two.embedding)
    np.testing.assert_array_equal(one.obs["confidence"], two.obs["confidence"])


def test_easy_types_are_found_and_confidence_is_high(cells):
    result = fitted(cells)
    assert ari(cells, result) > 0.95
    confidence = result.obs["confidence"]
    assert confidence.shape == (120,)
    assert ((confidence > 0) & (confidence <= 1)).all()
    assert confidence.mean() > 0.8
    assert result.embedding.shape == result.obsm["map"].shape == (120, 40)
    assert result.embedding.dtype == np.float32
    shapes = {"ratio": 40, "shrinkage": 40, "sigma2": 3, "tau2": 3, "b": 3, "stability": 3}
    assert {name: result.uns[name].shape for name in shapes} == {n: (d,) for n, d in shapes.items()}
    assert result.uns["stability"].min() > 0.9
    assert set(result.uns) == {*shapes, "tree"}


def test_another_seed_gives_another_result(cells):
    assert not np.allclose(fitted(cells).embedding, fitted(cells, seed=1).embedding)


def test_neighbors_as_positives_help_where_types_are_hard(hard):
    with_contrast, without = (
        np.mean([ari(hard, fitted(hard, 5, seed, contrast=contrast)) for seed in (0, 1)])
        for contrast in ("neighbors", "none")
    )
    assert with_contrast > without + 0.05


def test_shrinkage_multiplies_each_component_by_what_neighbors_share(hard):
    shrunk, plain = fitted(hard, 5), fitted(hard, 5, shrink=False)
    factor = shrunk.uns["shrinkage"]
    np.testing.assert_allclose(factor, np.maximum(1 - 1 / shrunk.uns["ratio"], 0))
    np.testing.assert_allclose(shrunk.embedding, plain.embedding * factor, rtol=1e-3, atol=1e-4)


def test_the_map_draws_each_cell_toward_the_mean_of_its_cluster(cells):
    result = fitted(cells)
    for k, b in enumerate(result.uns["b"]):
        members = result.labels == k
        mean = result.embedding[members].mean(0)
        expected = mean + (1 - b) * (result.embedding[members] - mean)
        np.testing.assert_allclose(result.obsm["map"][members], expected, rtol=1e-3, atol=1e-3)


def test_an_unknown_number_of_clusters_is_estimated(cells):
    result = fitted(cells, None)
    assert result.info["n_clusters_estimated"] == len(np.unique(result.labels)) == 3
    assert ari(cells, result) > 0.95
    assert fitted(cells, 3).info == {}


def test_a_file_gives_what_memory_gives(cells, tmp_path):
    cells.write_h5ad(tmp_path / "x.h5ad")
    backed = as_cells(ad.read_h5ad(tmp_path / "x.h5ad", backed="r"), kind="counts")
    in_file = JojoSCL().fit_predict(without_labels(backed), 3)
    np.testing.assert_array_equal(in_file.labels, fitted(cells).labels)
    np.testing.assert_allclose(in_file.embedding, fitted(cells).embedding, atol=1e-4)


def test_a_sketch_of_many_cells_is_clustered_and_the_others_join():
    cells = simulate(
        n_cells=800, n_genes=500, n_types=3, library_size=3000.0, marker_fraction=0.3, seed=1
    )
    result = fitted(cells, sample=400)
    assert ari(cells, result) > 0.9
    assert ((result.obs["confidence"] > 0) & (result.obs["confidence"] <= 1)).all()


def test_log_normalised_cells_are_taken(cells):
    x = cells.X / cells.X.sum(1) * 1e4
    logged = as_cells(
        AnnData(sp.csr_matrix(np.log1p(x)), obs=cells.obs[["cell_type"]]), label_key="cell_type"
    )
    assert logged.uns["kind"] == "log1p"
    assert ari(cells, fitted(logged)) > 0.95


def test_few_cells_get_the_clusters_that_were_asked_for():
    for n_cells, k in [(2, 2), (3, 2), (5, 5), (10, 4)]:
        x = np.random.default_rng(0).poisson(2.0, (n_cells, 30)).astype(np.float32)
        result = fitted(as_cells(AnnData(sp.csr_matrix(x))), k)
        assert len(np.unique(result.labels)) == k, n_cells
        assert np.isfinite(result.embedding).all()


def test_almost_as_many_clusters_as_cells(cells):
    assert [len(np.unique(fitted(cells, k).labels)) for k in (60, 90, 119)] == [60, 90, 119]


def test_fewer_clusters_than_asked_for_are_a_warning(caplog):
    x = np.tile(np.random.default_rng(0).poisson(3.0, (4, 50)), (10, 1)).astype(np.float32)
    found = fitted(as_cells(AnnData(sp.csr_matrix(x))), 7)
    assert f"7 clusters were asked for, and {found.labels.max() + 1} are found" in caplog.text


def test_cells_that_are_alike_are_no_error():
    x = np.tile(np.random.default_rng(0).poisson(3.0, (4, 50)), (10, 1)).astype(np.float32)
    result = fitted(as_cells(AnnData(sp.csr_matrix(x))), 4)
    assert len({tuple(np.unique(result.labels[i::4])) for i in range(4)}) == 4


def test_the_estimate_of_k_counts_communities():
    for k in (2, 3, 5):
        rng = np.random.default_rng(0)
        centres = 8 * rng.standard_normal((k, 4))
        x = np.repeat(centres, 30, axis=0) + rng.standard_normal((30 * k, 4))
        neighbors = nearest(x, 20)
        assert JojoSCL().estimate(neighbors, seed=0) == k
        assert JojoSCL(min_cells=31).estimate(neighbors, seed=0) == 2  # small ones do not count


def test_settings_that_make_no_sense_are_refused():
    assert_refused(
        JojoSCL.of,
        ({"n_dims": 0}, "n_dims must be at least 1"),
        ({"contrast": "cell"}, "contrast has no value 'cell'"),
    )


@pytest.fixture(scope="module")
def sampled() -> AnnData:
    """400 cells of 4 types in three samples, each with factors of its own on a third of the genes."""
    cells, rng = (
        simulate(400, 800, 4, library_size=3000.0, type_sizes=[4, 3, 2, 1], seed=3),
        np.random.default_rng(0),
    )
    samples = rng.integers(0, 3, 400)
    factors = np.exp(0.8 * rng.standard_normal((3, 800)) * (rng.random((3, 800)) < 0.3))
    cells.X = sp.csr_matrix(rng.poisson(cells.X.toarray() * factors[samples]).astype(np.float32))
    cells.obs["mouse"] = samples
    return cells


def test_samples_that_differ_make_no_clusters(sampled):
    pytest.importorskip("harmonypy")
    mixed, again, plain = (
        jojoscl.cluster(sampled, 4, batch_key=key, copy=True) for key in ("mouse", "mouse", None)
    )
    types, mice = sampled.obs["cell_type"], sampled.obs["mouse"]
    assert adjusted_rand_score(types, mixed.obs["jojoscl"]) > 0.95
    assert adjusted_rand_score(types, plain.obs["jojoscl"]) < 0.5
    assert adjusted_rand_score(mice, mixed.obs["jojoscl"]) < 0.05
    assert adjusted_rand_score(mice, plain.obs["jojoscl"]) > 0.5
    np.testing.assert_array_equal(mixed.obsm["X_jojoscl"], again.obsm["X_jojoscl"])
    assert mixed.uns["jojoscl"]["params"]["batch_key"] == "mouse"


def test_a_model_of_several_samples_predicts_other_cells_of_them(sampled):
    pytest.importorskip("harmonypy")
    model = JojoSCL().fit(sampled[:300].copy(), 4, batch_key="mouse")
    called = jojoscl.cluster(sampled[:300].copy(), 4, batch_key="mouse", copy=True)
    np.testing.assert_array_equal(model.labels_, called.obs["jojoscl"].astype(int))
    found = model.predict(sampled[300:].copy())
    assert adjusted_rand_score(sampled.obs["cell_type"], [*model.labels_, *found.labels]) > 0.9


def test_samples_are_refused_where_they_would_be_ignored(sampled):
    with pytest.raises(UserError, match="jojoscl_paper does not tell samples apart"):
        jojoscl.cluster(sampled, 4, batch_key="mouse", method=jojoscl.PaperJojoSCL())
    with pytest.raises(UserError, match="batch_key goes with hvg_flavor=robust_v3"):
        JojoSCL.of({"preprocess": {"hvg_flavor": "seurat"}}).fit(sampled, 4, batch_key="mouse")


def uneven() -> AnnData:
    """A large type of 600 cells, one of 200, and four of 20 to 60."""
    sizes = [0.6, 0.2, 0.06, 0.06, 0.06, 0.02]
    return simulate(1000, 800, 6, type_sizes=sizes, library_size=800.0, seed=4)


def test_large_and_small_types_are_found_together():
    cells = uneven()
    result, even = fitted(cells, 6), fitted(cells, 6, exponents=[1.0])
    assert ari(cells, result) > 0.95
    assert macro_f1(cells.obs["cell_type"].astype(str).to_numpy(), result.labels) > 0.85
    assert ari(cells, result) > ari(cells, even) + 0.03


def test_the_least_cluster_grows_with_the_number_of_cells():
    model = JojoSCL().fit(uneven(), 4)
    assert model.least_ == pytest.approx(0.15 * 1000**0.5)
    assert JojoSCL(min_cells=30).fit(uneven(), 4).least_ == 30


def test_neighbors_by_the_number_of_cells():
    expected = {(90, 0.7): 8, (420, 0.7): 14, (12_261, 0.7): 20, (5, 0.7): 4, (2, 0.0): 1}
    found = {(n, f): JojoSCL(positives_factor=f)._n_positives(n) for n, f in expected}
    assert found == expected
