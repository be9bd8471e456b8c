"""The one interface of every method: cells without labels in, :class:`Result` out."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, ParamSpec, Protocol

import numpy as np
from anndata import AnnData

from jojoscl.networks.isolation import isolated
from jojoscl.networks.settings import Run
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings

if TYPE_CHECKING:  # Lightning takes seconds to import
    from jojoscl.networks.callbacks import History

P = ParamSpec("P")


class Model(Protocol):
    """What a method learned, for other cells."""

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it to a file."""
        ...


@dataclass(frozen=True)
class Result:
    """What a method returns.

    labels: (n_cells,) int, clusters 0 .. K-1. embedding: (n_cells, d) float32. seconds: by stage,
    together the wall time of the call; beside them "earlier", training in calls that were cut off
    and that this one continued. info: scalars worth keeping beside the scores. history: losses, a
    row an epoch. last_labels: where an oracle chose the epoch, those of the last epoch, to be
    reported beside. obs: more about each cell, (n_cells,) arrays by name. obsm: more embeddings,
    (n_cells, d) by name. shrinkage: rows of
    :class:`~jojoscl.networks.shrinkage_log.ShrinkageRecord`. uns: arrays about the fit by name.
    model: what predicts for other cells, by a method that can.
    """

    labels: np.ndarray
    embedding: np.ndarray
    seconds: dict[str, float]
    info: Mapping[str, object] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    last_labels: np.ndarray | None = None
    obs: dict[str, np.ndarray] = field(default_factory=dict)
    obsm: dict[str, np.ndarray] = field(default_factory=dict)
    shrinkage: Sequence[Mapping[str, object]] = field(default_factory=list)
    uns: dict[str, np.ndarray] = field(default_factory=dict)
    model: Model | None = None


class Method(Protocol):
    """`adata.X` holds counts (or what ``adata.uns["kind"]`` says); `adata.obs` has no columns, or that of the samples.

    A method that can keep the best of several epochs also takes `oracle` and sets ``takes_oracle``;
    only the ceiling control takes `truth`. ``takes_batch``: samples may be told apart. ``finds_k``:
    the number of clusters is what comes out, and is not told.
    """

    name: str
    takes_oracle: ClassVar[bool]
    takes_truth: ClassVar[bool]
    takes_batch: ClassVar[bool]

    @property
    def finds_k(self) -> bool:
        """Whether the method finds the number of clusters itself and must not be told."""
        ...

    def fit_predict(
        self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None
    ) -> Result:
        """Cluster the cells of `adata`, (n_cells, n_genes)."""
        ...


class MethodSettings(Settings):
    """What the settings of all methods have in common, see :class:`Method`."""

    takes_oracle: ClassVar[bool] = False
    takes_truth: ClassVar[bool] = False
    takes_batch: ClassVar[bool] = False

    @property
    def finds_k(self) -> bool:
        """Whether the method finds the number of clusters itself and must not be told."""
        return False


def isolated_and_timed(fit_predict: Callable[P, Result]) -> Callable[P, Result]:
    """Make `fit_predict` leave global state alone, and its stages, with "other", add up to its wall time."""

    @functools.wraps(fit_predict)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Result:
        watch, run = Stopwatch(), kwargs.get("run")
        settings = (run if isinstance(run, Run) else Run()).trainer
        with isolated(settings.threads):
            result = fit_predict(*args, **kwargs)
        watch.lap("all")
        named = sum(
            value for stage, value in result.seconds.items() if stage not in ("other", "earlier")
        )
        return replace(
            result, seconds=result.seconds | {"other": max(0.0, watch.seconds["all"] - named)}
        )

    return wrapped


def earlier(*stages: History) -> dict[str, float]:
    """Return the seconds of training in calls that were cut off, for `Result.seconds`; nothing if none were."""
    total = sum(stage.earlier for stage in stages)
    return {"earlier": total} if total else {}


def check_n_clusters(n_clusters: int | None, n_cells: int) -> int:
    """Return the number of clusters, or a :class:`UserError` when it makes no sense for `n_cells` cells."""
    if n_clusters is None:
        raise UserError("The number of clusters is not known: give n_clusters=<whole number>.")
    if (k := whole(n_clusters)) is None or k < 2:
        raise UserError(f"n_clusters must be a whole number of at least 2, not {n_clusters!r}.")
    if k > n_cells:
        raise UserError(
            f"{k} clusters were asked for, but there are only {n_cells} cells: ask for fewer."
        )
    return k


def estimated(n_clusters: int | None, k: int) -> dict[str, int]:
    """Return, for a result's info, the K that a method found for itself; nothing where it was told."""
    return {"n_clusters_estimated": k} if n_clusters is None else {}


def check_seed(seed: int) -> int:
    """Return the seed, or a :class:`UserError` when no generator takes it."""
    if (number := whole(seed)) is None or not 0 <= number < 2**32:
        raise UserError(f"seed must be a whole number between 0 and {2**32 - 1}, not {seed!r}.")
    return number


def whole(value: object) -> int | None:
    """Return a whole number of any library, in an array without axes too, as Python's; None for anything else.

    >>> whole(np.int64(4)), whole(np.array(4)), whole(4.0), whole(True)
    (4, 4, None, None)
    """
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
