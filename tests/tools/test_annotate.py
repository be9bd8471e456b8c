"""Results are put into the user's AnnData, and those of an earlier call are removed."""

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import jojoscl
from jojoscl.core.interface import Result
from jojoscl.tools.annotate import annotate, restricted
from jojoscl.utils.errors import UserError
from tests.small import assert_refused

QUICK: dict[str, Any] = {"n_draws": 1}


def result(**changes: Any) -> Result:
    """A result for four cells."""
    parts: dict[str, Any] = {
        "labels": np.array([0, 1, 10, 2]),
        "embedding": np.ones((4, 2), np.float32),
        "seconds": {"train": 1.0},
        "info": {"epochs": 3},
        "obs": {"confidence": np.ones(4)},
        "obsm": {"map": np.zeros((4, 2))},
    }
    return Result(**(parts | changes))


def four() -> AnnData:
    uns = {"kind": "counts", "kind_decided_by": "whole numbers"}
    return AnnData(np.ones((4, 3), np.float32), uns=uns)


def test_everything_is_put_and_can_be_written(tmp_path):
    adata = four()
    settings = {
        "seed": 3,
        "widths": [8, 4],
        "names": ["a", "b"],
        "n_clusters": None,
        "settings": {"sure": True, "inner": {"n_top_genes": None, "flavor": "x"}},
    }
    annotate(adata, "mine", result(), settings, adata.uns)
    assert adata.obs["mine"].cat.categories.tolist() == ["0", "1", "2", "10"]
    assert list(adata.obs) == ["mine", "mine_confidence"]
    assert set(adata.obsm) == {"X_mine", "X_mine_map"}
    assert adata.uns["mine"]["kind_decided_by"] == "whole numbers"
    adata.write_h5ad(tmp_path / "a.h5ad")
    kept = ad.read_h5ad(tmp_path / "a.h5ad").uns["mine"]
    assert kept["epochs"] == 3
    for params in (adata.uns["mine"]["params"], kept["params"]):
        assert (params["seed"], params["settings"]) == (3, settings["settings"])
        assert [*params["widths"], *params["names"]] == [8, 4, "a", "b"]
        assert "n_clusters" not in params


def test_settings_make_the_same_method_again(cells, tmp_path):
    method = jojoscl.JojoSCL(n_draws=1, preprocess={"n_top_genes": None, "min_cells": 3})
    adata = cells.copy()
    jojoscl.cluster(adata, 3, method=method)
    adata.write_h5ad(tmp_path / "a.h5ad")
    params = ad.read_h5ad(tmp_path / "a.h5ad").uns["jojoscl"]["params"]
    assert jojoscl.JojoSCL.of(params["settings"]) == method
    assert (params["n_clusters"], params["seed"], params["method"]) == (3, 0, "jojoscl")


def test_results_of_an_earlier_call_are_removed():
    adata = four()
    adata.obs["mine_note"], adata.obs["mine_named"] = "kept", "kept"
    annotate(adata, "mine", result(), {}, adata.uns)
    for store in (adata.obs, adata.uns):
        store["mine_splits"] = store["mine_markers"] = ["x"] * 4
    adata.obsm["X_mine_umap"] = np.ones((4, 2))
    annotate(adata, "other", result(), {}, adata.uns)
    annotate(adata, "mine", result(obs={}, obsm={}, info={}), {}, adata.uns)
    assert [name for name in adata.obs if name.startswith("mine")] == [
        "mine_note", "mine_named", "mine",
    ]  # fmt: skip
    assert set(adata.obsm) == {"X_mine", "X_other", "X_other_map"}
    assert {"mine", "other"} == {name for name in adata.uns if not name.startswith("kind")}
    assert "epochs" not in adata.uns["mine"]
    assert "other_confidence" in adata.obs


def test_a_view_becomes_cells_of_its_own_without_a_warning(cells):
    adata = cells.copy()
    view = adata[10:90]
    jojoscl.cluster(view, 3, **QUICK)
    assert view.obs["jojoscl"].nunique() == 3
    assert "jojoscl" not in adata.obs


def test_a_view_of_a_file_is_refused_before_it_trains(cells, tmp_path):
    cells.write_h5ad(tmp_path / "a.h5ad")
    view = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")[:50]
    assert_refused(
        lambda copy: jojoscl.cluster(view, 3, copy=copy, **QUICK),
        (True, "copied"),
        (False, r"view of cells in a file: give adata\.to_memory"),
    )


def test_a_name_that_no_file_could_hold(cells):
    assert_refused(
        lambda key: jojoscl.cluster(cells, 3, key_added=key),
        *[(key, "key_added must be a word without '/'") for key in ["", "a/b", 3]],
    )


# ---- some of the cells ---------------------------------------------------------------------------


def test_some_cells_are_labelled_as_scanpy_does_and_the_others_keep_theirs():
    obs = pd.DataFrame({"type": pd.Categorical(["b", "a", "b", "c", "a"])}, index=list("vwxyz"))
    adata = AnnData(np.ones((5, 3), np.float32), obs=obs)
    part = restricted(adata, ("type", ["c", "b"]))
    assert part.inside.tolist() == [True, False, True, True, False]
    h = np.arange(6, dtype=np.float32).reshape(3, 2)
    result = Result(
        np.array([1, 0, 1]), h, {}, obs={"confidence": np.array([0.5, 0.6, 0.7], np.float32)}
    )
    annotate(adata, "mine", result, {}, {}, part)
    assert adata.obs["mine"].tolist() == ["c-b,1", "a", "c-b,0", "c-b,1", "a"]
    assert adata.obs["mine"].cat.categories.tolist() == ["a", "c-b,0", "c-b,1"]
    np.testing.assert_array_equal(
        adata.obs["mine_confidence"], np.array([0.5, np.nan, 0.6, 0.7, np.nan], np.float32)
    )
    np.testing.assert_array_equal(adata.obsm["X_mine"][[0, 2, 3]], h)
    assert np.isnan(adata.obsm["X_mine"][[1, 4]]).all()
    assert adata.obs["type"].tolist() == ["b", "a", "b", "c", "a"]


def test_columns_that_are_no_categories_are_taken_by_their_words():
    adata = AnnData(
        np.ones((4, 3), np.float32), obs=pd.DataFrame({"n": [3, 3, 10, 3]}, index=list("wxyz"))
    )
    for categories in ("3", 3, ["3", "3"], np.array([3])):
        part = restricted(adata, ("n", categories))
        assert part.categories == ["3"]
    assert part.labels(pd.Categorical(["0", "1", "0"])).tolist() == ["3,0", "3,1", "10", "3,0"]


def test_a_wrong_restrict_to_is_refused(subtests):
    for restrict_to, words in [
        (("type", None), "'type' has no category 'None'"),
        ((["type"], ["a"]), r"There is no column \['type'\]"),
        ("type", "restrict_to is a column of obs and its categories"),
        (("type",), "restrict_to is a column of obs"),
        (
            ("typ", ["a"]),
            r"There is no column 'typ' in the cells' annotation \(there are: type, twice",
        ),
        (("twice", ["a"]), "Several columns of obs are called 'twice'"),
        (("type", ["a", "d"]), r"'type' has no category 'd' \(there are: a"),
        (("new", ["a"]), "'new' has two .* or one that begins with 'a,', as the new clusters do"),
        (("one", ["1"]), "'one' has two categories that read the same"),
    ]:
        with subtests.test(restrict_to=restrict_to):
            obs = pd.DataFrame([["a", 1, 2]] * 3, [*"xyz"], ["type", "twice", "twice"])
            obs = obs.assign(new=["a", "a", "a,0"], one=[1, 1, "1"])
            adata = AnnData(np.ones((3, 3), np.float32), obs=obs)
            with pytest.raises(UserError, match=words):
                restricted(adata, restrict_to)
