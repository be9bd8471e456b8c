"""The run folder: one owner, files that are whole, what a study changed."""

import logging
import threading
import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import jojoscl
from jojoscl.runner.config import Resolved, compose
from jojoscl.runner.run import h5ad_bytes, owned, point_of, run


def test_a_second_owner_waits_for_the_first(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder, order = tmp_path / "run", []

    def second() -> None:
        with owned(folder):
            order.append("second")

    with owned(folder):
        thread = threading.Thread(target=second)
        thread.start()
        while not caplog.messages:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert caplog.messages == [f"waiting for the process that runs {folder}, if there is one"]
    assert not list(folder.iterdir()), "nothing is left"


def test_the_next_owner_deletes_what_a_killed_one_left(tmp_path):
    (tmp_path / ".jojoscl-0123-labels.csv").write_text("half")
    (tmp_path / "labels.csv").write_text("whole")
    with owned(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "labels.csv"]


def test_an_error_lets_go_of_the_folder(tmp_path):
    with pytest.raises(RuntimeError), owned(tmp_path):
        raise RuntimeError
    with owned(tmp_path):
        pass


def test_an_h5ad_in_memory_is_what_anndata_writes(tmp_path, cells):
    adata = AnnData(
        obs=cells.obs.copy(), obsm={"X_a": np.eye(120, 3)}, uns={"b": {"c": [1, 2], "d": "e"}}
    )
    (tmp_path / "a.h5ad").write_bytes(h5ad_bytes(adata))
    adata.write_h5ad(tmp_path / "b.h5ad")
    a, b = (ad.read_h5ad(tmp_path / name) for name in ("a.h5ad", "b.h5ad"))
    pd.testing.assert_frame_equal(a.obs, b.obs)
    np.testing.assert_array_equal(a.obsm["X_a"], b.obsm["X_a"])
    assert a.uns["b"]["d"] == b.uns["b"]["d"] == "e"


def test_clusters_of_a_result_are_cut_anew(tmp_path):
    small = ["data.n_cells=120", "data.n_genes=150", "data.n_types=3", "method.n_draws=1"]
    run(Resolved.of(compose(["data=simulated", "pictures=false", *small])), tmp_path / "run")
    result = ad.read_h5ad(tmp_path / "run" / "result.h5ad")
    assert result.uns["jojoscl"]["stability"].shape == (3,)
    for k in (3, 5):
        jojoscl.cut(result, k)
        assert result.obs[f"jojoscl_{k}"].nunique() == k
    assert (result.obs["jojoscl_3"].astype(str) == result.obs["jojoscl"].astype(str)).all()


def test_metrics_say_what_a_study_changed(subtests):
    for changes, setting, strength in [
        ({}, None, None),
        ({"corrupt.dropout": 0.3}, "dropout", 0.3),
        ({"method.preprocess.n_top_genes": 500}, "preprocess.n_top_genes", 500),
        ({"method.shrink": False, "method.n_draws": 1}, "shrink=False, n_draws", 1),
        ({"method.smoothing": [1, 1]}, "smoothing", "[1, 1]"),
    ]:
        with subtests.test(changes=changes):
            assert point_of(changes) == {"setting": setting, "strength": strength}
