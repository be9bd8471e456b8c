"""The default preset: where its networks start, what they minimise, that runs repeat, resume and find K types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import lightning as L
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from jojoscl.methods.jojoscl.module import JojoSCLModule
from jojoscl.model.anchor import pca_anchor
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.data import simulate
from jojoscl.data.cells import without_labels
from jojoscl.methods.base import Result
from jojoscl.methods.jojoscl.method import JojoSCL
from jojoscl.methods.paper.method import PaperJojoSCL
from jojoscl.model.networks import AnchoredEncoder
from jojoscl.runner.config import compose
from jojoscl.runner.run import run as run_configured
from jojoscl.training.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError

SMALL: dict[str, Any] = {
    "n_dims": 8, "min_dims": 4, "hidden": 8, "instance_dims": [8, 8], "n_micro": 30,
    "batch_size": 32, "epochs": 3, "min_steps": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """120 simulated cells of 3 types, told apart by more genes than those of `conftest`."""
    return simulate(n_cells=120, n_genes=1000, n_types=3, seed=1)


def quiet(folder: Path | None = None) -> Run:
    return Run(folder, trainer=TrainerSettings(accelerator="cpu", progress_bar=False, checkpoint_seconds=0))


def small(**settings: Any) -> JojoSCL:
    return JojoSCL(**(SMALL | settings))


def fitted(cells: AnnData, folder: Path | None = None, seed: int = 0, **settings: Any) -> Result:
    return small(**settings).fit_predict(without_labels(cells), 3, seed=seed, run=quiet(folder))


def untrained(n_cells: int = 30) -> tuple[JojoSCLModule, np.ndarray, np.ndarray]:
    """A module, its cells (n_cells, 12) and their scores (n_cells, 4)."""
    rng = np.random.default_rng(0)
    x, loadings = (rng.normal(size=shape).astype(np.float32) for shape in ((n_cells, 12), (12, 4)))
    return small().module(loadings, n_cells, 3, seed=0, epochs=4), x, x @ loadings


def test_the_encoder_starts_at_the_anchor() -> None:
    loadings, x = torch.randn(12, 4), torch.randn(9, 12)
    torch.testing.assert_close(AnchoredEncoder(loadings, 8)(x), x @ loadings)


def test_query_and_key_start_alike_and_only_the_query_learns() -> None:
    module, x, scores = untrained()
    np.testing.assert_allclose(module(torch.from_numpy(x))["h"].detach(), scores, atol=1e-5)
    for q, k in zip(module.query.parameters(), module.key.parameters(), strict=True):
        assert torch.equal(q, k)
        assert q.requires_grad
        assert not k.requires_grad


def test_neighbors_are_the_nearest_by_angle_and_never_the_cell() -> None:
    scores = untrained()[2]
    unit = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    expected = (-unit @ unit.T).argsort(1)[:, 1:6]
    np.testing.assert_array_equal(np.sort(small().neighbors(scores, seed=0)), np.sort(expected))


def test_sure_loss_is_form_b_of_the_mean_of_two_views() -> None:
    module, _, scores = untrained()
    module.renew_clusters(scores)
    labels, n_centroids = module.labels.numpy(), len(module.centroids)
    assert n_centroids == 10  # a third of the cells, fewer than 4 K
    h1, h2 = torch.randn(2, 30, 4).double()
    total, centroids = 0.0, module.centroids.double()
    sigma2 = float((h1 - h2).square().mean() / 4)
    residual = sum(((scores[labels == j] - scores[labels == j].mean(0)) ** 2).sum() for j in range(n_centroids))
    b = min(1.0, sigma2 / (residual / (4 * (30 - n_centroids))))
    for i in range(30):
        n = (labels == labels[i]).sum()
        distance = float(((h1[i] + h2[i]) / 2 - centroids[labels[i]]).square().sum())
        total += b**2 * distance + 4 * sigma2 * (1 - 2 * b * (1 - 1 / n))
    assert float(module.sure_loss(h1, h2, torch.arange(30))) == pytest.approx(total / 30, rel=1e-5)


def test_easy_types_are_found_and_confidence_is_high(cells: AnnData) -> None:
    result = fitted(cells)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.95
    confidence = result.obs["confidence"]
    assert confidence.shape == (120,)
    assert ((confidence > 0) & (confidence <= 1)).all()
    assert confidence.mean() > 0.8
    assert result.embedding.shape == (120, 8)
    assert [row["epoch"] for row in result.history] == list(range(6))
    assert np.isfinite([list(row.values()) for row in result.history]).all()
    assert {name: values.shape for name, values in result.uns.items()} == dict.fromkeys(
        ("sigma2", "tau2", "reliability"), (8,)
    )


def test_the_same_seed_gives_the_same_result_and_another_seed_another(cells: AnnData) -> None:
    one, two, other = fitted(cells), fitted(cells), fitted(cells, seed=1)
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.embedding, two.embedding)
    np.testing.assert_array_equal(one.obs["confidence"], two.obs["confidence"])
    assert not np.allclose(one.embedding, other.embedding)


class Killed(Exception):
    pass


@pytest.mark.parametrize("epochs_lived", [2, 5])
def test_a_killed_fit_goes_on_and_ends_as_an_unbroken_one(
    tmp_path: Path, cells: AnnData, monkeypatch: pytest.MonkeyPatch, epochs_lived: int
) -> None:
    """Killed in the first and in the second of two networks, in an epoch that does not renew the clusters."""
    whole = fitted(cells, epochs=4, renewals=2)
    started, epoch_start = [], JojoSCLModule.on_train_epoch_start

    def dying(module: JojoSCLModule) -> None:
        started.append(module.current_epoch)
        if len(started) == epochs_lived + 1:
            raise Killed
        epoch_start(module)

    with monkeypatch.context() as patched:
        patched.setattr(JojoSCLModule, "on_train_epoch_start", dying)
        with pytest.raises(Killed):
            fitted(cells, tmp_path, epochs=4, renewals=2)
    L.seed_everything(99, verbose=False)
    resumed = fitted(cells, tmp_path, epochs=4, renewals=2)
    np.testing.assert_array_equal(whole.labels, resumed.labels)
    np.testing.assert_array_equal(whole.embedding, resumed.embedding)
    assert whole.history == resumed.history


def test_a_finished_network_is_not_trained_again(tmp_path: Path, cells: AnnData) -> None:
    fitted(cells, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt")}
    assert set(before) == {"network0.ckpt", "network1.ckpt"}
    fitted(cells, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt")} == before


@pytest.mark.parametrize(("n_cells", "k"), [(2, 2), (3, 2), (7, 5), (33, 3), (33, 33)])
def test_a_few_cells_are_clustered(cells: AnnData, n_cells: int, k: int) -> None:
    some = without_labels(cells[:: 120 // n_cells][:n_cells].copy())
    result = small(epochs=1).fit_predict(some, k, run=quiet())
    assert sorted(set(result.labels)) == list(range(k))


def test_without_networks_the_anchor_alone_is_clustered(cells: AnnData) -> None:
    result = fitted(cells, n_networks=0)
    assert result.history == []
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_small_sets_get_more_epochs(cells: AnnData) -> None:
    assert fitted(cells, n_networks=1, epochs=2, min_steps=9).info["epochs"] == 3  # of 4 steps


def test_there_is_no_epoch_for_an_oracle_to_choose(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use selection=last"):
        run_configured(compose(["data=simulated", "selection=oracle"]), tmp_path)


def test_the_scanpy_call_adds_confidence_and_the_anchor(cells: AnnData, tmp_path: Path) -> None:
    found = jojoscl.cluster(cells, 3, copy=True, accelerator="cpu", **SMALL)
    assert found is not None
    assert found.obs["jojoscl_confidence"].between(0, 1).all()
    found.write_h5ad(tmp_path / "found.h5ad")
    again = ad.read_h5ad(tmp_path / "found.h5ad")
    assert again.uns["jojoscl"]["reliability"].shape == (8,)
    assert again.obsm["X_jojoscl"].shape == (120, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smoothing": [20, 10]}, "fewest and the most"),
        ({"smoothing": [5]}, "fewest and the most"),
        ({"instance_dims": []}, "widths of layers"),
        ({"n_dims": 0}, "at least 1"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**settings)


# ---- number of clusters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 4, 6])
def test_the_number_of_types_is_estimated_where_none_is_given(k: int) -> None:
    cells = simulate(n_cells=600, n_genes=1000, n_types=k, seed=1)
    result = small(epochs=1, n_dims=40, min_dims=12).fit_predict(without_labels(cells), None, run=quiet())
    assert result.info["n_clusters_estimated"] == k == len(set(result.labels))
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.9


def test_the_paper_preset_shares_the_estimate(cells: AnnData) -> None:
    method = PaperJojoSCL(epochs=1, encoder_dims=[16, 8])
    result = method.fit_predict(without_labels(cells), None, run=quiet())
    assert 2 <= result.info["n_clusters_estimated"] == len(set(result.labels)) <= 5


def test_a_k_that_was_given_is_not_called_an_estimate(cells: AnnData) -> None:
    assert "n_clusters_estimated" not in fitted(cells, epochs=1).info


@pytest.mark.parametrize("n_cells", [2, 3, 5, 30])
def test_a_few_cells_have_a_number_of_clusters(cells: AnnData, n_cells: int) -> None:
    some = without_labels(cells[:: 120 // n_cells][:n_cells].copy())
    result = small(epochs=1, n_networks=0).fit_predict(some, None, run=quiet())
    assert 2 <= len(set(result.labels)) <= n_cells


def test_the_scanpy_call_without_k_says_what_it_found(cells: AnnData, tmp_path: Path) -> None:
    found = jojoscl.cluster(cells, copy=True, accelerator="cpu", **SMALL)
    assert found is not None
    found.write_h5ad(tmp_path / "found.h5ad")
    again = ad.read_h5ad(tmp_path / "found.h5ad")
    assert again.uns["jojoscl"]["n_clusters_estimated"] == again.obs["jojoscl"].nunique()


def test_a_run_without_k_has_both_numbers_in_its_metrics(tmp_path: Path) -> None:
    own = ["data=simulated", "data.n_cells=120", "data.n_types=3", "n_clusters=null", "pictures=false",
           "trainer.max_epochs=1", "trainer.progress_bar=false", f"paths.cache={tmp_path}"]  # fmt: skip
    metrics = run_configured(compose(own), tmp_path / "run")
    assert metrics["n_types"] == 3
    assert metrics["n_clusters"] == metrics["n_clusters_estimated"]


def test_parts_that_an_ablation_turns_off(cells: AnnData) -> None:
    anchor = pca_anchor(np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32), 4, seed=0)
    assert small(shrink_components=False).loadings(anchor) is anchor.loadings
    np.testing.assert_array_equal(small().loadings(anchor), anchor.loadings * anchor.reliability)
    scores = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    np.testing.assert_array_equal(small(n_positives=0).neighbors(scores, seed=0), np.arange(30)[:, None])
    off = {"n_networks": 0, "anchor_partitions": 1, "smoothing": [1, 1], "min_cells": 1}
    assert len(np.unique(fitted(cells, **off).labels)) == 3
    assert len(np.unique(fitted(cells, n_positives=0, shrink_components=False, momentum=0).labels)) == 3


# ---- more cells than are looked at together ------------------------------------------------------------------------


def test_a_sample_finds_the_types_of_all(cells: AnnData) -> None:
    result = fitted(cells, sample=60, landmarks=50)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) > 0.8
    again = fitted(cells, sample=60, landmarks=50)
    np.testing.assert_array_equal(result.labels, again.labels)
    np.testing.assert_array_equal(result.embedding, again.embedding)
    assert small(sample=60).fit_predict(without_labels(cells), None, run=quiet()).info["n_clusters_estimated"] >= 2


def test_above_the_sample_positives_come_from_blocks_of_a_third() -> None:
    rng = np.random.default_rng(0)
    neighbors = small(sample=29, n_positives=5).neighbors(rng.normal(size=(30, 4)), seed=0)
    assert neighbors.shape == (30, 5)
    assert not (neighbors == np.arange(30)[:, None]).any()
    graph = sp.csr_matrix((np.ones(150), neighbors.ravel(), np.arange(0, 151, 5)), (30, 30))
    assert connected_components(graph)[0] == 3


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_backed_file_gives_the_clusters_of_the_same_cells_in_memory(
    cells: AnnData, tmp_path: Path, preset: str
) -> None:
    # Adam makes full steps of what is rounding in gradients that are 0, as those of biases before BatchNorm: at the
    # preset's rate of .01 not even the same matrix with an error of 3e-7 gives the same clusters after three steps.
    settings = SMALL if preset == "default" else {"epochs": 3, "encoder_dims": [16, 8], "lr": 1e-4}
    method = JojoSCL(**settings) if preset == "default" else PaperJojoSCL(**settings)
    in_memory = jojoscl.cluster(cells, 3, method=method, copy=True, accelerator="cpu")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    jojoscl.cluster(backed, 3, method=method, accelerator="cpu")
    assert in_memory is not None
    assert adjusted_rand_score(in_memory.obs["jojoscl"], backed.obs["jojoscl"]) > 0.95
    assert {name: values.shape for name, values in backed.obsm.items()} == {
        name: values.shape for name, values in in_memory.obsm.items()
    }
    if preset == "paper":
        np.testing.assert_allclose(backed.obsm["X_jojoscl"], in_memory.obsm["X_jojoscl"], atol=0.02)
    backed.file.close()


def test_a_run_on_a_backed_file_and_a_baseline_that_cannot(cells: AnnData, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "cells.h5ad")
    own = ["data=h5ad", f"data.path={tmp_path}/cells.h5ad", "data.backed=true", "data.label_key=cell_type",
           "trainer.max_epochs=1", "trainer.progress_bar=false", f"paths.cache={tmp_path}/cache"]  # fmt: skip
    metrics = run_configured(compose([*own, "pictures=false"]), tmp_path / "run")
    assert metrics["ari"] > 0.9
    assert [path.name[:6] for path in (tmp_path / "cache").iterdir()] == ["prepro"]
    with pytest.raises(UserError, match="needs them in memory"):
        run_configured(compose([*own, "method=pca_kmeans"]), tmp_path / "other")
    with pytest.raises(UserError, match="corrupt changes cells in memory"):
        run_configured(compose([*own, "corrupt.thin=0.5"]), tmp_path / "other")
