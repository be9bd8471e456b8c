"""The one interface of every method: cells without labels in, :class:`Result` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from anndata import AnnData

from jojoscl.errors import UserError
from jojoscl.settings import Settings, between, one_of

Oracle = Callable[[np.ndarray], float]
"""Scores labels against the truth. Only `selection=oracle` hands one to a method, and its rows are marked."""


@dataclass(frozen=True)
class Result:
    """What a method returns.

    labels: (n_cells,) int, clusters 0 .. K-1. embedding: (n_cells, d) float32. seconds: by stage.
    info: scalars worth keeping beside the scores. history: losses, a row an epoch.
    last_labels: where an oracle chose the epoch, those of the last epoch, to be reported beside.
    obs: more about each cell, (n_cells,) arrays by name. obsm: more embeddings, (n_cells, d) by name.
    shrinkage: rows of :class:`~jojoscl.record.ShrinkageRecord`. uns: arrays about the fit by name.
    """

    labels: np.ndarray
    embedding: np.ndarray
    seconds: dict[str, float]
    info: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    last_labels: np.ndarray | None = None
    obs: dict[str, np.ndarray] = field(default_factory=dict)
    obsm: dict[str, np.ndarray] = field(default_factory=dict)
    shrinkage: list[dict[str, Any]] = field(default_factory=list)
    uns: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(kw_only=True)
class TrainerSettings(Settings):
    """How networks are trained: what `conf/trainer/` holds."""

    max_epochs: int | None = between(1, default=None)  # null: the method's own
    accelerator: str = one_of("auto", "cpu", "gpu", "cuda", "mps", default="auto")
    device: int = between(0, default=0)  # which GPU, or the first of them; modulo their number
    devices: int = between(1, default=1)  # GPUs, or processes on the CPU, that share each batch
    precision: str = "32-true"
    compile: bool = False  # encoders and heads by torch.compile
    threads: int | None = between(1, default=None)  # null: torch's choice
    progress_bar: bool = True
    checkpoint_seconds: float = between(0, default=1.0)  # at most one checkpoint in so many seconds


@dataclass(frozen=True)
class Run:
    """Where and how a method runs; it knows nothing of the true labels.

    folder: checkpoints and logs go here; None writes nothing. loggers: Lightning loggers.
    config_hash: of the settings; a checkpoint with another is refused.
    """

    folder: Path | None = None
    cache: Path | None = None
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    loggers: tuple[Any, ...] = ()
    config_hash: str = ""


class Method(Protocol):
    """`adata.X` holds counts (or what ``adata.uns["kind"]`` says); `adata.obs` has no columns.

    A method that can keep the best of several epochs also takes `oracle` and sets ``takes_oracle``.
    """

    takes_oracle: bool

    def fit_predict(
        self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None
    ) -> Result: ...


def check_n_clusters(n_clusters: int | None, n_cells: int) -> int:
    """The number of clusters, or a :class:`UserError` when it makes no sense for `n_cells` cells."""
    if n_clusters is None:
        raise UserError("The number of clusters is not known: give n_clusters=<whole number>.")
    if isinstance(n_clusters, bool) or not isinstance(n_clusters, Integral) or n_clusters < 2:
        raise UserError(f"n_clusters must be a whole number of at least 2, not {n_clusters!r}.")
    if n_clusters > n_cells:
        raise UserError(f"{n_clusters} clusters were asked for, but there are only {n_cells} cells: ask for fewer.")
    return int(n_clusters)


def estimated(n_clusters: int | None, k: int) -> dict[str, int]:
    """For a result's info: the K that a method found for itself; nothing where it was told."""
    return {"n_clusters_estimated": k} if n_clusters is None else {}


def check_seed(seed: int) -> int:
    """The seed, or a :class:`UserError` when no generator takes it."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise UserError(f"seed must be a whole number between 0 and {2**32 - 1}, not {seed!r}.")
    return int(seed)


def without_labels(adata: AnnData) -> AnnData:
    """What a method may see: the matrix, the names of cells and genes, and the kind of values. Nothing else."""
    bare = AnnData(X=adata.X)
    bare.obs_names, bare.var_names = adata.obs_names, adata.var_names
    bare.uns["kind"] = adata.uns["kind"]
    return bare
