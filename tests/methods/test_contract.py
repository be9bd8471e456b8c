"""What holds for every method: same seed, same labels; nothing but the cells is looked at; sane results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from jojoscl.clustering.metrics import scores
from jojoscl.training.settings import Run
from jojoscl.utils.errors import UserError

FEW_EPOCHS = ("pretrain_epochs=2", "epochs=2", "kmeans_starts=2")
SETTINGS: dict[str, tuple[str, ...]] = {
    "pca_kmeans": (),
    "leiden": (),
    "leiden_matched": (),
    "random": (),
    "seurat": ("preprocess.hvg_flavor=seurat",),
    "seurat_matched": ("preprocess.hvg_flavor=seurat",),
    "contrastive_sc": ("epochs=2",),
    "sccl": ("epochs=2",),
    "scdeepcluster": FEW_EPOCHS,
    "sczidesk": FEW_EPOCHS,
}
TOLD_K = [name for name in SETTINGS if name not in ("leiden", "seurat")]


@pytest.mark.parametrize("name", SETTINGS)
def test_same_seed_same_labels(name: str, method: Callable[..., Any], bare: AnnData, quiet: Run) -> None:
    before = bare.X.copy()
    one, two = (method(name, *SETTINGS[name]).fit_predict(bare, 3, seed=7, run=quiet) for _ in range(2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.embedding, two.embedding)
    assert one.labels.shape == (bare.n_obs,)
    assert one.labels.dtype == np.int64
    assert 0 <= one.labels.min() <= one.labels.max() < bare.n_obs
    assert one.embedding.shape[0] == bare.n_obs
    assert one.embedding.dtype == np.float32
    assert np.isfinite(one.embedding).all()
    assert type(one.seconds) is dict  # else AnnData cannot write it
    assert all(seconds >= 0 for seconds in one.seconds.values())
    assert (before != bare.X).nnz == 0  # the cells are the user's


@pytest.mark.parametrize("name", ["pca_kmeans", "leiden_matched", "seurat_matched"])
def test_clear_types_are_found(
    name: str, method: Callable[..., Any], cells: AnnData, bare: AnnData, quiet: Run
) -> None:
    labels = method(name, *SETTINGS[name]).fit_predict(bare, 3, run=quiet).labels
    assert scores(np.asarray(cells.obs["cell_type"]), labels)["ari"] > 0.9


def test_another_seed_gives_other_random_labels_of_equal_size(
    method: Callable[..., Any], bare: AnnData, quiet: Run
) -> None:
    one, two = (method("random").fit_predict(bare, 3, seed=seed, run=quiet).labels for seed in (0, 1))
    assert (one != two).any()
    np.testing.assert_array_equal(np.bincount(one), [40, 40, 40])


@pytest.mark.parametrize("name", TOLD_K)
def test_methods_that_are_told_k_ask_for_it(name: str, method: Callable[..., Any], bare: AnnData, quiet: Run) -> None:
    with pytest.raises(UserError, match="number of clusters"):
        method(name, *SETTINGS[name]).fit_predict(bare, None, run=quiet)


@pytest.mark.parametrize("name", ["leiden", "seurat"])
def test_default_rows_are_not_told_k(name: str, method: Callable[..., Any], bare: AnnData, quiet: Run) -> None:
    told, untold = (method(name, *SETTINGS[name]).fit_predict(bare, k, run=quiet).labels for k in (50, None))
    np.testing.assert_array_equal(told, untold)
