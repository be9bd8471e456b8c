"""The call on an AnnData."""

import re
import signal
import subprocess
import sys
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import jojoscl
from jojoscl.baselines.controls import PCAKMeans
from jojoscl.networks.callbacks import History
from tests.small import assert_refused

QUICK: dict[str, Any] = {"method": jojoscl.PaperJojoSCL(epochs=3, encoder_dims=[16, 8])}


def test_results_are_put_where_scanpy_users_look(cells):
    adata = cells.copy()
    assert jojoscl.cluster(adata, n_clusters=3, key_added="mine", **QUICK) is None
    assert adata.obs["mine"].cat.categories.tolist() == ["0", "1", "2"]
    assert adata.obsm["X_mine"].shape == (adata.n_obs, 8)
    assert adata.uns["mine"]["params"]["n_clusters"] == 3
    assert (adata.X != cells.X).nnz == 0


def test_copy_leaves_the_original_alone_and_the_seed_decides(cells):
    first, second, other = (
        jojoscl.cluster(cells, n_clusters=3, copy=True, seed=seed, **QUICK) for seed in (0, 0, 1)
    )
    assert "jojoscl" not in cells.obs
    np.testing.assert_array_equal(first.obsm["X_jojoscl"], second.obsm["X_jojoscl"])
    assert not np.allclose(first.obsm["X_jojoscl"], other.obsm["X_jojoscl"])


def test_annotation_is_not_looked_at(cells):
    shuffled = cells.copy()
    shuffled.obs["cell_type"] = np.random.default_rng(0).permutation(
        np.asarray(cells.obs["cell_type"].astype(str))
    )
    results = [
        jojoscl.cluster(adata, n_clusters=3, copy=True, **QUICK) for adata in (cells, shuffled)
    ]
    assert list(results[0].obs["jojoscl"]) == list(results[1].obs["jojoscl"])


def test_layer_and_settings(cells):
    adata = cells.copy()
    adata.layers["counts"], adata.X = adata.X, -np.ones(adata.shape, np.float32)
    jojoscl.cluster(
        adata,
        n_clusters=3,
        layer="counts",
        method=jojoscl.ReleasedJojoSCL(epochs=3, encoder_dims=[16, 8]),
    )
    assert "jojoscl" in adata.obs
    with pytest.raises(jojoscl.UserError, match="negative"):
        jojoscl.cluster(adata, n_clusters=3, **QUICK)


def test_embedded_dataset_needs_no_settings():
    adata = jojoscl.load_dataset("pbmc68k_reduced")
    jojoscl.cluster(adata, n_clusters=10)
    assert adata.obs["jojoscl"].nunique() == 10
    assert adata.obs["jojoscl_confidence"].between(0, 1).all()


def test_wrong_settings_are_refused_before_anything_is_done(cells, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    adata = cells.copy()
    paper = jojoscl.PaperJojoSCL()
    assert_refused(
        lambda settings: jojoscl.cluster(adata, **{"n_clusters": 3} | settings),
        ({"method": jojoscl.PaperJojoSCL}, "method must be a method such as"),
        ({"n_draws": np.float64(2)}, "JojoSCL.n_draws must be int, not "),
        ({"n_draws": None}, "JojoSCL.n_draws must be int, not None"),
        ({"n_draw": 2}, "JojoSCL has no setting 'n_draw' .did you mean 'n_draws'"),
        ({"view_dims": 0}, "view_dims must be at least 1, not 0"),
        ({"random_state": 1}, "There is no setting 'random_state': give seed="),
        ({"resolution": 1.0}, "no setting 'resolution': give n_clusters="),
        ({"inplace": False}, "no setting 'inplace': give copy="),
        ({"method": paper, "n_draws": 2}, "method= and n_draws= are given"),
        ({"method": ""}, "method must be a method such as jojoscl.JojoSCL"),
        ({"method": "paper"}, "method must be a method such as jojoscl.JojoSCL"),
        ({"preprocess": {"n_top": 3}}, "Preprocess has no setting 'n_top'"),
        ({"method": paper, "accelerator": "gpuu"}, "did you mean 'gpu'"),
        ({"accelerator": "cuda"}, "accelerator has no value 'cuda' .there are: cpu, gpu"),
        ({"accelerator": "gpu"}, "torch finds no GPU"),
        ({"devices": 2}, "jojoscl trains no network: leave out accelerator and devices"),
        ({"method": PCAKMeans(), "accelerator": "gpu"}, "pca_kmeans trains no network"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be a whole number between 0 and 4294967295, not -1"),
        ({"n_clusters": 1}, "at least 2, not 1"),
        ({"n_clusters": 121}, "there are only 120 cells"),
        ({"n_clusters": "many"}, "whole number of at least 2, not 'many'"),
        ({"layer": "counts"}, "no layer 'counts'"),
    )
    assert (adata.X != cells.X).nnz == 0
    pd.testing.assert_frame_equal(adata.obs, cells.obs)
    assert not len(adata.obsm)
    assert list(adata.uns) == list(cells.uns)


def test_numbers_of_numpy_are_taken_and_kept_as_numbers(cells):
    found = jojoscl.cluster(
        cells, np.int64(3), copy=True, seed=np.array(1), n_draws=np.int64(2), ridge=np.float32(0.5),
        n_dims=np.uint8(8), shrink=np.True_,
        preprocess={"n_top_genes": np.int32(50)},
    )  # fmt: skip
    params = found.uns["jojoscl"]["params"]
    assert (params["seed"], params["n_clusters"], params["settings"]["n_draws"]) == (1, 3, 2)
    assert params["settings"]["preprocess"]["n_top_genes"] == 50
    assert params["settings"]["preprocess"]["target_sum"] == 1e4  # the method's own, as before


def test_one_line_in_the_log_says_what_is_where(cells, caplog):
    caplog.set_level("INFO", "jojoscl")
    jojoscl.cluster(cells.copy(), 3, key_added="mine", n_draws=1)
    (line,) = (record.getMessage() for record in caplog.records if record.name == "jojoscl.api")
    assert re.fullmatch(r"3 clusters in \d+\.\d s: obs\['mine'\], obsm\['X_mine'\]", line)


def test_a_bar_shows_the_stages_where_it_is_wanted(cells, capsys):
    adata = cells.copy()
    for unseen in (False, None):  # None: this is no terminal
        jojoscl.cluster(adata, 3, progress_bar=unseen)
        assert capsys.readouterr().err == ""
    jojoscl.cluster(adata, 3, progress_bar=True)
    jojoscl.split_tests(adata, progress_bar=True)
    seen = capsys.readouterr().err
    for words in ("cluster |", ", assign", "split_tests |"):
        assert words in seen
    assert set(jojoscl.JojoSCL.stages) == set(adata.uns["jojoscl"]["seconds"]) - {"other"}


def test_the_call_needs_nothing_of_the_command():
    """Neither Hydra nor OmegaConf, nor what only Unix has, nor a network, nor pictures."""
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('hydra', 'omegaconf', 'fcntl'))\n"
        "import jojoscl\n"
        "cells = jojoscl.simulate(40, 50, 2)\n"
        "jojoscl.cluster(cells, 2)\n"
        "rooms = ('jojoscl.runner', 'jojoscl.networks', 'torch', 'scanpy', 'matplotlib')\n"
        "assert not [name for name in sys.modules if name.startswith(rooms)]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_name_of_the_call_is_found_at_once():
    code = "import sys, jojoscl; jojoscl.cluster; assert not {'torch', 'anndata', 'scanpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert sorted(dir(jojoscl)) == sorted(jojoscl.__all__)


def test_some_of_the_cells_are_clustered_as_if_they_were_alone(cells, tmp_path):
    adata = cells.copy()
    first, second = adata.obs["cell_type"].cat.categories[:2]
    inside = adata.obs["cell_type"].isin([first, second]).to_numpy()
    jojoscl.cluster(adata, 2, restrict_to=("cell_type", [first, second]), seed=3)
    alone = jojoscl.cluster(adata[inside].copy(), 2, seed=3, copy=True)
    found = adata.obs["jojoscl_R"]
    assert found[inside].tolist() == [f"{first}-{second},{label}" for label in alone.obs["jojoscl"]]
    assert found[~inside].tolist() == adata.obs["cell_type"][~inside].tolist()
    assert "jojoscl" not in adata.obs
    np.testing.assert_array_equal(adata.obsm["X_jojoscl_R"][inside], alone.obsm["X_jojoscl"])
    asked = adata.uns["jojoscl_R"]["params"]["restrict_to"]
    assert (asked["column"], list(asked["categories"])) == ("cell_type", [first, second])


def test_some_of_the_cells_of_a_file_are_clustered_as_those_in_memory(cells, tmp_path):
    cells.write_h5ad(tmp_path / "a.h5ad")
    stored, some = ad.read_h5ad(tmp_path / "a.h5ad", backed="r"), ("cell_type", ["type1", "type2"])
    jojoscl.cluster(stored, 2, n_draws=1, restrict_to=some)
    expected = jojoscl.cluster(cells, 2, n_draws=1, restrict_to=some, copy=True)
    assert stored.isbacked
    assert stored.obs["jojoscl_R"].tolist() == expected.obs["jojoscl_R"].tolist()
    with pytest.raises(jojoscl.UserError, match="view of cells in a file"):
        jojoscl.cluster(stored[:90], 2, restrict_to=some)


def test_a_wrong_restrict_to_changes_nothing(cells):
    adata = cells.copy()
    assert_refused(
        lambda given: jojoscl.cluster(adata, given[1], restrict_to=given[0]),
        ((("cell_typ", ["a"]), 2), "There is no column 'cell_typ'"),
        ((("cell_type", ["none"]), 2), "has no category 'none'"),
        ((("cell_type", ["type1"]), 100), "100 clusters were asked for, but there are only"),
    )
    assert adata.obs.columns.tolist() == cells.obs.columns.tolist()
    assert not adata.obsm
    assert not [name for name in adata.uns if name.startswith("jojoscl")]


def test_predicted_clusters_are_put_into_the_cells(cells, tmp_path):
    model = jojoscl.JojoSCL(n_draws=1).fit(cells[:90].copy(), 3)
    model.save(tmp_path / "model.npz")
    new = cells[90:].copy()
    jojoscl.predict(new, tmp_path / "model.npz", key_added="mine", n_neighbors=5)
    found = model.predict(new, n_neighbors=5)
    assert (new.obs["mine"].astype(int) == found.labels).all()
    np.testing.assert_array_equal(new.obs["mine_novelty"], found.obs["novelty"])
    assert new.obsm["X_mine"].shape == (30, found.embedding.shape[1])
    assert new.uns["mine"]["params"]["n_neighbors"] == 5
    new.write_h5ad(tmp_path / "new.h5ad")
    other = jojoscl.predict(cells[90:], model, copy=True)
    assert "jojoscl" in other.obs
    assert "jojoscl" not in cells.obs


def test_ctrl_c_is_keyboard_interrupt(cells, monkeypatch):
    monkeypatch.setattr(
        History, "on_train_epoch_end", lambda *_: signal.raise_signal(signal.SIGINT)
    )
    adata = cells.copy()
    with pytest.raises(KeyboardInterrupt):
        jojoscl.cluster(adata, 3, method=jojoscl.PaperJojoSCL(epochs=1))
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert "jojoscl" not in adata.obs
