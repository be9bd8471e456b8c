"""The contract of every choice of `method=`: sealed labels, seeds, resumption, refusals, and settings that act."""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from jojoscl.baselines.controls import PCAKMeans
from jojoscl.cells.checks import without_labels
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import Method, Result
from jojoscl.core.metrics import scores
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.runner.config import build, compose
from jojoscl.runner.sweep import SCORES
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

NAMES = sorted(path.stem for path in (conf_dir() / "method").glob("*.yaml"))
EACH = [  # UMAP is compiled for half a minute
    pytest.param(name, marks=pytest.mark.slow if name.startswith("hdbscan") else ())
    for name in NAMES
]
QUICK: dict[str, Any] = {  # where the method has such a setting
    "epochs": 2, "pretrain_epochs": 2, "kmeans_starts": 2, "batch_size": 32,
    "encoder_dims": [16, 8], "n_dims": 8, "n_small": 20, "n_components": 20,
}  # fmt: skip
DIMS = {
    name: {"instance_dims": [8, 8], "cluster_dims": [8]}
    for name in ("jojoscl_paper", "jojoscl_published")
}
STAGES = {  # of training
    "jojoscl_paper": 1, "jojoscl_released": 1, "sccl": 1, "contrastive_sc": 1,
    "scdeepcluster": 2, "sczidesk": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def types() -> AnnData:
    """72 cells x 100 genes of 3 clear types."""
    return simulate(
        72, 100, 3, type_sizes=[0.5, 0.3, 0.2], library_size=3000.0, marker_fraction=0.3,
        fold_change_sd=2.0, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def blurred() -> AnnData:
    """72 cells x 60 genes of 3 types that are hard to tell apart, so that a small change is seen."""
    return simulate(
        72, 60, 3, type_sizes=[0.5, 0.3, 0.2], library_size=3000.0, marker_fraction=0.3, seed=3
    )


@cache
def class_of(name: str) -> type[Method]:
    return type(build(compose([f"method={name}"]).method))


def made(name: str, **settings: Any) -> Method:
    """The method, quick, with `settings`; skipped where the package that it needs is not there."""
    kind = class_of(name)
    for package in ("phenograph", "scvi"):
        if name.startswith(package):
            pytest.importorskip(package)
    given = QUICK | DIMS.get(name, {}) | settings
    known = {field.name for field in dataclasses.fields(kind)}
    base = {"match_k": True} if name.endswith("_matched") else {}
    if name.startswith(("seurat", "scvi")):
        base["preprocess"] = {"hvg_flavor": "seurat"}
    return kind.of(base | {key: value for key, value in given.items() if key in known})


def fitted(
    method: Any, cells: AnnData, k: Any = 3, *, seed: int = 7, folder: Path | None = None
) -> Result:
    trainer = TrainerSettings(accelerator="cpu", progress_bar=False, checkpoint_seconds=0)
    truth = {"truth": np.repeat(["a", "b", "c"], cells.n_obs // 3)} if method.takes_truth else {}
    run = {"run": Run(folder, trainer=trainer)} if method.takes_run else {}
    return method.fit_predict(without_labels(cells), k, seed=seed, **run, **truth)


_PLAIN: dict[str, Result] = {}


def plain(name: str, cells: AnnData, k: Any = 3, **settings: Any) -> Result:
    """What the method gives, computed once."""
    key = f"{cells.n_vars} {name} {k} {settings}"
    if key not in _PLAIN:
        _PLAIN[key] = fitted(made(name, **settings), cells, k)
    return _PLAIN[key]


@pytest.mark.parametrize("name", EACH)
def test_the_seed_alone_decides_the_labels_and_no_true_type_is_reached(name, types, monkeypatch):
    """What a method gets has no annotation of cells, and a look at one of the original's fails."""
    sealed = without_labels(types)
    assert sealed.obs.shape[1] == sealed.var.shape[1] == len(sealed.obsm) == 0
    assert not set(sealed.layers) - {None}  # which is X since anndata 0.13
    assert set(sealed.uns) == {"kind"}
    other, before = types.copy(), types.X.copy()
    words = np.asarray(types.obs["cell_type"].astype(str))
    other.obs["cell_type"] = np.random.default_rng(0).permutation(words)
    looked: list[str] = []
    get = pd.DataFrame.__getitem__

    def watched(frame: Any, key: Any) -> Any:
        looked.extend([key] if isinstance(key, str) and key == "cell_type" else [])
        return get(frame, key)

    one = plain(name, types)
    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "__getitem__", watched)
        two = fitted(made(name), other)
    assert not looked
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.embedding, two.embedding)
    assert one.labels.shape == (types.n_obs,)
    assert one.labels.dtype == np.int64
    assert 0 <= one.labels.min() <= one.labels.max() < types.n_obs
    assert one.embedding.shape[0] == types.n_obs
    assert one.embedding.dtype == np.float32
    assert np.isfinite(one.embedding).all()
    assert type(one.seconds) is dict  # else AnnData cannot write it
    assert all(seconds >= 0 for seconds in one.seconds.values())
    assert (before != types.X).nnz == (before != other.X).nnz == 0  # the cells are the user's


class Killed(Exception):
    """In the middle of a training."""


@pytest.mark.parametrize(("name", "n_stages"), STAGES.items())
def test_a_training_killed_in_each_stage_goes_on_and_ends_as_an_unbroken_one(
    name, n_stages, types, tmp_path, monkeypatch
):
    settings = {"epochs": 4, "pretrain_epochs": 3, "tolerance": 0}
    whole = plain(name, types, **settings)
    ended: set[Any] = set()
    backward = L.LightningModule.backward

    def dying(module: Any, *args: Any, **kwargs: Any) -> None:
        stage = getattr(module, "clustering", None)
        if module.current_epoch == 2 and stage not in ended:
            ended.add(stage)
            raise Killed
        backward(module, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(L.LightningModule, "backward", dying)
        for _ in range(n_stages):
            with pytest.raises(Killed):
                fitted(made(name, **settings), types, folder=tmp_path)
    assert list(tmp_path.glob("*.ckpt"))
    resumed = fitted(made(name, **settings), types, folder=tmp_path)
    np.testing.assert_array_equal(whole.labels, resumed.labels)
    np.testing.assert_array_equal(whole.embedding, resumed.embedding)
    assert whole.history == resumed.history


@pytest.mark.parametrize("name", EACH)
def test_a_number_of_clusters_is_taken_found_or_asked_for(name, types):
    method = made(name)
    if not (method.finds_k or method.takes_truth):
        with pytest.raises(UserError, match="cluster"):
            fitted(method, types, 73)
        if name != "jojoscl":
            with pytest.raises(UserError, match="number of clusters"):
                fitted(method, types, None)
            return
    found = fitted(method, types, None)
    assert 2 <= len(np.unique(found.labels)) <= types.n_obs
    assert (found.info.get("n_clusters_estimated") is not None) is (name == "jojoscl")


def test_clear_types_are_found(types, subtests):
    for name in ("pca_kmeans", "leiden_matched", "seurat_matched", "jojoscl"):
        with subtests.test(name=name):
            labels = plain(name, types, n_neighbors=10).labels
            assert scores(np.asarray(types.obs["cell_type"]), labels)["ari"] > 0.9


def test_the_floor_and_the_ceiling(types):
    one, two = (fitted(made("random"), types, seed=seed).labels for seed in (0, 1))
    assert (one != two).any()
    np.testing.assert_array_equal(np.bincount(one), [24, 24, 24])
    truth = np.asarray(types.obs["cell_type"].astype(str))
    found = made("truth").fit_predict(without_labels(types), None, truth=truth)
    assert scores(truth, found.labels) == dict.fromkeys(SCORES, 1.0)


# ---- every setting acts --------------------------------------------------------------------------

OTHER: dict[str, Any] = {  # where twice the value, the opposite or the next choice is no other legal or telling one
    "mask_rate": 0.3, "momentum": 0.1, "rho": 0.5,
    "instance_dims": [8, 4], "encoder_dims": [12, 8], "cluster_dims": [6], "min_cells": 30, "n_small": 4, "sample": 40,
    "pretrain_patience": 1, "pretrain_gain": 1.0, "lr_period": 3, "tolerance": 1.0, "n_pcs": 3,
    "noise_sd": 1.0, "check_every": 1, "ridge": 5.0, "resolution": 4.0,
    "n_neighbors": 4, "weight_decay": 10.0, "contrast": "none", "n_components": 9,
    "exponents": [4.0],
}  # fmt: skip
WITH: dict[str, dict[str, Any]] = {  # settings that act only beside others
    "pretrain_gain": {"pretrain_patience": 2, "pretrain_epochs": 9}, "pretrain_patience": {"pretrain_epochs": 9},
    "tolerance": {"epochs": 4}, "check_every": {"epochs": 4, "tolerance": 1.0},
}  # fmt: skip
NO_EFFECT = {
    "name": "what the results call it",
    "n_starts": "the best of several starts is the first one on clear types",
    "n_init": "the best of several starts is the first one on clear types",
    "kmeans_starts": "the best of several starts is the first one on clear types",
    "accelerator": "needs a GPU: tests/core/test_gpu.py",
    "n_jobs": "threads change no label: tests/core/test_method.py",
    "dense_gib": "where the matrix is kept, not what is in it: tests/cells/test_expression.py",
    "round_counts": "acts on RPKM, and these are counts: tests/cells/test_preprocess.py",
}


SETTINGS_OF = (
    "jojoscl", "jojoscl_paper", "contrastive_sc", "scdeepcluster", "sczidesk", "leiden", "seurat",
    "pca_kmeans",
)  # fmt: skip


def declared() -> dict[str, list[str]]:
    """Return the settings by method, each setting of each class once."""
    found: dict[str, list[str]] = {}
    seen: set[tuple[type, str]] = set()
    for name in SETTINGS_OF:
        kind = class_of(name)
        for field in dataclasses.fields(kind):
            owners = reversed(kind.__mro__)
            owner = next(b for b in owners if field.name in getattr(b, "__annotations__", {}))
            if field.name not in ("preprocess", *NO_EFFECT) and (owner, field.name) not in seen:
                seen.add((owner, field.name))
                found.setdefault(name, []).append(field.name)
    return found


def another(field: dataclasses.Field[Any], value: Any) -> Any:
    """Another legal value."""
    if field.name in OTHER and OTHER[field.name] != value:
        return OTHER[field.name]
    if field.metadata["values"]:
        return next(v for v in field.metadata["values"] if v != value and v != "none")
    return not value if isinstance(value, bool) else 2 * value or 1.0


def told_apart(one: Result, two: Result) -> bool:
    """Whether labels, embeddings, history or what else is reported differ."""
    arrays = ([r.labels, r.embedding, *r.obs.values(), r.uns.get("ratio")] for r in (one, two))
    same = all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))
    return not same or one.history != two.history or one.info != two.info


@pytest.mark.parametrize("name", SETTINGS_OF)
def test_every_setting_acts(name, blurred, subtests):
    for setting in declared().get(name, ()):
        with subtests.test(setting=setting):
            beside = WITH.get(setting, {})
            method = made(name, **beside)
            field = next(f for f in dataclasses.fields(method) if f.name == setting)
            changed = made(name, **beside | {setting: another(field, getattr(method, setting))})
            assert told_apart(plain(name, blurred, **beside), fitted(changed, blurred))


def test_every_step_of_preprocessing_acts(types):
    other = {"min_cells": 60, "target_sum": 10.0, "n_top_genes": 20, "hvg_flavor": "robust_v3",
             "max_value": 1.0}  # fmt: skip
    assert {f.name for f in dataclasses.fields(Preprocess)} == set(other) | set(NO_EFFECT) & {
        "round_counts", "dense_gib",
    }  # fmt: skip
    plain = {"n_top_genes": 30, "max_value": None, "min_cells": 1}

    def with_steps(**change: Any) -> Result:
        return fitted(PCAKMeans.of({"preprocess": plain | change}), types)

    idle = [
        n for n, value in other.items() if not told_apart(with_steps(), with_steps(**{n: value}))
    ]
    assert not idle
