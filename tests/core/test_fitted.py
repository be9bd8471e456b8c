"""A fitted model: it predicts as the fit would, in whatever order genes are, and a stranger's file does no harm."""

import logging
import re
import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.cells.checks import without_labels
from jojoscl.utils.errors import UserError
from tests.small import assert_refused


def test_the_fit_is_what_fit_predict_and_the_call_give(old, model):
    result = jojoscl.JojoSCL().fit_predict(without_labels(old), 3)
    called = jojoscl.cluster(old, 3, copy=True)
    np.testing.assert_array_equal(model.labels_, result.labels)
    np.testing.assert_array_equal(model.embedding_, result.embedding)
    np.testing.assert_array_equal(model.map_, result.obsm["map"])
    np.testing.assert_array_equal(model.map_, called.obsm["X_jojoscl_map"])
    np.testing.assert_array_equal(model.confidence_, result.obs["confidence"])
    np.testing.assert_array_equal(model.confidence_, called.obs["jojoscl_confidence"])
    np.testing.assert_array_equal(model.labels_.astype(str), called.obs["jojoscl"].astype(str))
    assert model.n_clusters == 3
    lines = repr(model).splitlines()
    assert len(lines) == 3
    assert lines[0] == "Fitted: 200 cells in 3 clusters (seed 0)"


def test_new_cells_get_the_cluster_of_their_type(both, new, model):
    before = new.X.copy()
    found = model.predict(new)
    together = np.concatenate([model.labels_, found.labels])
    assert adjusted_rand_score(both.obs["cell_type"], together) > 0.95
    assert found.embedding.shape == (100, 40)
    assert found.obs["confidence"].dtype == np.float32
    assert ((found.obs["confidence"] > 0) & (found.obs["confidence"] <= 1)).all()
    assert found.info == {"missing_genes": 0}
    assert (before != new.X).nnz == 0


def test_the_cells_of_the_fit_are_where_the_fit_has_them(old, subtests):
    x = old.X.toarray()
    logs = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    values = {"counts": x, "rpkm": x * 1.3, "log1p": logs}
    rare: dict[str, Any] = {"preprocess": {"target_sum": None, "min_cells": 60}}
    for kind, settings in [
        *[(kind, {}) for kind in values],
        *[(kind, rare) for kind in values],
        ("counts", {"preprocess": {"max_value": 2.0}}),
        ("rpkm", {"preprocess": {"n_top_genes": 100}}),
        ("log1p", {"sample": 120}),
    ]:
        with subtests.test(kind=kind, settings=settings):
            cells = AnnData(sp.csr_matrix(values[kind]))
            checked = AnnData(cells.X, uns={"kind": kind})
            result = jojoscl.JojoSCL.of(settings).fit_predict(checked, 3)
            model = jojoscl.JojoSCL.of(settings).fit(cells, 3, kind=kind)
            found = model.predict(cells, kind=kind)
            np.testing.assert_allclose(found.embedding, result.embedding, rtol=1e-5, atol=1e-5)
            assert (found.labels == model.labels_).mean() > 0.97


def test_a_cell_is_predicted_by_itself(new, model):
    alone, among = model.predict(new[7].copy()), model.predict(new)
    assert alone.labels.tolist() == [among.labels[7]]
    np.testing.assert_allclose(alone.embedding[0], among.embedding[7], atol=1e-6)


def test_new_cells_of_another_laboratory_are_brought_to_the_fit(both):
    pytest.importorskip("harmonypy")
    old, new = both[:200].copy(), both[200:].copy()
    factors = np.random.default_rng(0).lognormal(0, 0.7, both.n_vars).astype("f4")
    new.X = sp.csr_matrix(np.rint(new.X.multiply(factors).toarray()))
    new.obs["plate"] = "b"
    model = jojoscl.JojoSCL(n_draws=1).fit(old, 3)
    apart, brought = model.predict(new), model.predict(new, batch_key="plate")
    assert adjusted_rand_score(new.obs["cell_type"], brought.labels) > 0.95
    assert brought.obs["novelty"].mean() < apart.obs["novelty"].mean()


# ---- genes ---------------------------------------------------------------------------------------


def test_genes_are_found_by_name_and_others_are_ignored(new, model):
    order = np.random.default_rng(0).permutation(new.n_vars)
    extra = AnnData(
        new.X[:, :50] * 7,
        obs=new.obs[[]],
        var=new.var.iloc[:50].rename(lambda name: f"extra {name}"),
    )
    mixed = ad.concat([extra, new[:, order]], axis=1)
    found, plain = model.predict(mixed), model.predict(new)
    np.testing.assert_array_equal(found.labels, plain.labels)
    np.testing.assert_allclose(found.embedding, plain.embedding, atol=1e-5)


def test_a_missing_gene_counts_as_average(old, caplog):
    x = old.X.toarray()
    cells = AnnData(np.log1p(x / x.sum(1, keepdims=True) * 1e4), var=old.var[[]])
    model = jojoscl.JojoSCL().fit(cells, 3)
    name = model.names[model.genes[5]]
    with caplog.at_level(logging.WARNING):
        found = model.predict(cells[:, cells.var_names != name].copy())
    words = f"1 of {len(model.genes)} variable genes of the model are missing (such as '{name}')"
    assert words in caplog.text
    z = (np.asarray(cells[:, name].X).ravel() - model.mean[5]) / model.sd[5]
    expected = model.embedding_ - z[:, None] * model.loadings[5]
    np.testing.assert_allclose(found.embedding, expected, atol=1e-4)
    assert found.info == {"missing_genes": 1}


def test_genes_that_are_zero_in_all_new_cells_are_missing(new, model):
    """As an outer join leaves them; one that few cells of the fit have is merely rare."""
    gone = np.flatnonzero(model.seen > 0.2)[:60]
    names = np.array(model.names)[model.genes[gone]]
    absent = new[:, ~new.var_names.isin(names)].copy()
    filled = AnnData(sp.csr_matrix(new.X.toarray() * ~new.var_names.isin(names)), var=new.var)
    one, two = model.predict(absent), model.predict(filled)
    assert one.info == two.info == {"missing_genes": 60}
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_allclose(one.embedding, two.embedding, atol=1e-5)
    assert model.predict(new[:1].copy()).info == {"missing_genes": 0}


def test_cells_without_a_count_in_the_genes_of_the_model_are_refused(new, model):
    x = new[:5].X.toarray()
    x[:2] = 0
    cells = AnnData(sp.csr_matrix(x), var=new.var)
    extra = AnnData(sp.csr_matrix(np.ones((5, 1), np.float32)))
    with pytest.raises(UserError, match="2 cells have no count in any variable gene of the model"):
        model.predict(ad.concat([cells, extra], axis=1))


def test_logarithms_are_brought_to_the_total_of_the_fit(both):
    """Scanpy's default, the median total, depends on the cells."""

    def logged(x: Any, total: float) -> AnnData:
        return AnnData(sp.csr_matrix(x / x.sum(1, keepdims=True) * total).log1p(), var=both.var)

    x = both.X.toarray()
    model = jojoscl.JojoSCL().fit(logged(x[:200], 1e3), 3)
    found, same = (model.predict(logged(x[200:], total)) for total in (3e4, 1e3))
    np.testing.assert_allclose(found.embedding, same.embedding, atol=1e-3)
    assert adjusted_rand_score(both.obs["cell_type"][200:], found.labels) > 0.9


def test_genes_with_repeated_names_are_refused(old, model):
    twice = [name[:-1] for name in old.var_names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = AnnData(old.X, var=pd.DataFrame(index=twice))
    for call in (model.predict, jojoscl.JojoSCL().fit, jojoscl.cluster):
        with pytest.raises(UserError, match="genes have the name of another"):
            call(cells)


def test_genes_of_another_kind_are_named(new, model, subtests):
    for place in ["var['symbol']", "var_names up to the dot"]:
        with subtests.test(place=place):
            other = new.copy()
            other.var["symbol"] = new.var_names if "symbol" in place else "x"
            words = "ENSG{}" if "symbol" in place else "{}.7"
            other.var_names = [words.format(name) for name in new.var_names]
            with pytest.raises(
                UserError, match=rf"genes \(those of {re.escape(place)} fit\), or raise"
            ):
                model.predict(other)


def test_a_wrong_share_of_missing_genes(new, model):
    assert_refused(
        lambda wrong: model.predict(new, max_missing=wrong),
        *[
            (wrong, "max_missing must be a number between 0 and 1")
            for wrong in [float("nan"), True, "a", -1, 1.5, None]
        ],
    )


def test_too_many_missing_genes_are_refused(new, model):
    few = new[:, :300].copy()
    with pytest.raises(
        UserError, match=r"\d+ of \d+ variable genes of the model are missing .*raise max_missing"
    ):
        model.predict(few)
    assert (model.predict(few, max_missing=0.7).labels == model.predict(new).labels).mean() > 0.8


def test_other_values_are_refused(new, model):
    x = new.X.tocsr()
    logs = np.log1p(x / x.sum(1) * 1e4)

    def predict(given: tuple[Any, dict[str, Any]]) -> None:
        model.predict(AnnData(sp.csr_matrix(given[0]), var=new.var), **given[1])

    assert_refused(
        predict,
        ((logs, {}), "The values are log1p, and the model was fitted on counts"),
        ((x * 1.3, {"kind": "rpkm"}), r"The values are rpkm, and the model"),
        ((-x, {}), "negative"),
        ((x, {"layer": "none"}), "There is no layer 'none'"),
        ((x, {"n_neighbors": 0}), "n_neighbors must be a whole number above 0, not 0"),
    )


def test_only_an_anndata_is_taken(model):
    for call in (model.predict, jojoscl.JojoSCL().fit, jojoscl.cluster):
        assert_refused(call, (np.ones((2, 2)), "must be an AnnData, not ndarray"))


def test_a_file_is_predicted_from_where_it_is(new, model, tmp_path, monkeypatch):
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 600 * 17)
    new.write_h5ad(tmp_path / "new.h5ad")
    found = model.predict(ad.read_h5ad(tmp_path / "new.h5ad", backed="r"))
    np.testing.assert_allclose(found.embedding, model.predict(new).embedding, atol=1e-6)
    bad = new.copy()
    bad.X.data[-1] = np.nan
    bad.write_h5ad(tmp_path / "bad.h5ad")
    with pytest.raises(UserError, match="1 values are NaN"):
        model.predict(ad.read_h5ad(tmp_path / "bad.h5ad", backed="r"))
