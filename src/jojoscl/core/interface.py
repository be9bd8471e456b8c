"""The one interface of every method: cells without labels in, :class:`Result` out."""

import copy
import functools
import operator
import os
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import ClassVar, ParamSpec, Protocol, Self, TypeVar

import numpy as np
from anndata import AnnData
from threadpoolctl import threadpool_limits

from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import Stopwatch
from jojoscl.utils.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


class Model(Protocol):
    """What a method learned, for other cells."""

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it to a file."""
        ...


@dataclass(frozen=True)
class Result:
    """What a method returns.

    Attributes
    ----------
    labels
        (n,) int, clusters 0 .. K-1.
    embedding
        (n, d) float32.
    seconds
        By stage, together the wall time of the call. Beside them "earlier": training in calls that
        were cut off and that this one continued.
    info
        Scalars worth keeping beside the scores.
    history
        Losses, a row an epoch.
    last_labels
        If an oracle chose the epoch, the labels of the last epoch.
    obs, obsm, uns
        More about each cell, (n,) by name; more embeddings, (n, d); arrays about the fit.
    shrinkage
        Rows of :class:`~jojoscl.networks.callbacks.ShrinkageRecord`.
    model
        What predicts for other cells, by a method that can.
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
    uns: dict[str, object] = field(default_factory=dict)
    model: Model | None = None

    def __repr__(self) -> str:
        """Return one line: cells, sizes of the clusters, seconds and info."""
        sizes, seconds = np.unique(self.labels, return_counts=True)[1], sum(self.seconds.values())
        more = "".join(f", {name} {value}" for name, value in self.info.items())
        return f"Result: {len(self.labels)} cells in clusters of {sizes} ({seconds:.1f} s{more})"


class Method(Settings, ABC):
    """What clusters cells, whose X holds counts or what ``uns["kind"]`` says, and obs no types.

    Attributes
    ----------
    stages
        Their names in order, for a bar.
    takes_run
        It trains a network, and `fit_predict` also takes `run`, a
        :class:`~jojoscl.networks.settings.Run`.
    takes_oracle
        It can keep the best of several epochs, by `oracle`.
    takes_truth
        The ceiling control alone: it takes the labels, by `truth`.
    takes_batch
        Samples may be told apart.
    """

    name: str
    stages: ClassVar[tuple[str, ...]] = ("cluster",)
    takes_run: ClassVar[bool] = False
    takes_oracle: ClassVar[bool] = False
    takes_truth: ClassVar[bool] = False
    takes_batch: ClassVar[bool] = False

    @property
    def finds_k(self) -> bool:
        """Return whether the number of clusters is what comes out, and is not given."""
        return False

    @abstractmethod
    def fit_predict(self, cells: AnnData, n_clusters: int | None, *, seed: int = 0) -> Result:
        """Cluster cells (n, genes)."""

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the settings by name, as scikit-learn asks for them."""
        return dict(self._items())

    def set_params(self, **params: object) -> Self:
        """Change settings, some of those within another by a dict; return the method."""
        self.check_names(params)
        vars(self).update(vars(replace(self, **params)))
        return self

    def __sklearn_clone__(self) -> Self:
        return copy.deepcopy(self)


_ALONE = threading.RLock()
_jobs = ContextVar("_jobs", default=1)  # another thread sees the default: tasks have no tasks


@contextmanager
def alone(threads: int = 1, *, n_jobs: int | None = None) -> Iterator[None]:
    """Run the block alone in this process, on `threads` threads of BLAS and OpenMP.

    The number of threads and igraph's generator are the process's: calls from several Python
    threads take turns. A sum depends on how threads share it: a fixed number gives the same bits.
    So other threads are used by whole tasks alone (:func:`side_by_side`), `n_jobs` at a time.
    """
    from sklearn.exceptions import ConvergenceWarning  # slow to import: not before it is needed

    with _ALONE, warnings.catch_warnings(), threadpool_limits(threads):
        # Tasks that end in another order than they began mix up the filters that each restores.
        warnings.simplefilter("ignore", ConvergenceWarning)
        token = _jobs.set(n_threads(n_jobs))
        try:
            yield
        finally:
            _jobs.reset(token)


def n_threads(n_jobs: int | None) -> int:
    """Return how many threads `n_jobs` means, as scikit-learn has it: None is 1, -1 is all.

    All are those of the machine, or ``OMP_NUM_THREADS`` if these are fewer.
    """
    from joblib import effective_n_jobs

    if n_jobs == 0:
        raise UserError("n_jobs must be a number of threads, or -1 for all, not 0.")
    found, most = int(effective_n_jobs(n_jobs)), os.environ.get("OMP_NUM_THREADS", "")
    return min(found, int(most)) if (n_jobs or 1) < 0 and most.isdigit() and int(most) else found


def side_by_side(tasks: Iterable[Callable[[], T]]) -> list[T]:
    """Return what each task returns, which run on the threads that :func:`alone` was given."""
    if (n := _jobs.get()) == 1:
        return [task() for task in tasks]
    with ThreadPoolExecutor(n) as threads:
        return list(threads.map(lambda task: task(), tasks))


def timed(fit_predict: Callable[P, Result]) -> Callable[P, Result]:
    """Make the seconds of the stages of `fit_predict`, with "other", add up to its wall time."""

    @functools.wraps(fit_predict)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Result:
        watch = Stopwatch()
        result = fit_predict(*args, **kwargs)
        watch.lap("all")
        stages = {name: s for name, s in result.seconds.items() if name != "other"}
        named = sum(s for name, s in stages.items() if name != "earlier")
        return replace(result, seconds=stages | {"other": max(0.0, watch.seconds["all"] - named)})

    return wrapped


def check_n_clusters(n_clusters: int | None, n_cells: int) -> int:
    """Return the number of clusters; one that makes no sense is a :class:`UserError`."""
    if n_clusters is None:
        raise UserError("The number of clusters is not known: give n_clusters=<whole number>.")
    if (k := whole(n_clusters)) is None or k < 2:
        raise UserError(f"n_clusters must be a whole number of at least 2, not {n_clusters!r}.")
    if k > n_cells:
        raise UserError(
            f"{k} clusters were asked for, but there are only {n_cells} cells: ask for fewer."
        )
    return k


def check_seed(seed: int) -> int:
    """Return the seed; one that no generator takes is a :class:`UserError`."""
    if (number := whole(seed)) is None or not 0 <= number < 2**32:
        raise UserError(f"seed must be a whole number between 0 and {2**32 - 1}, not {seed!r}.")
    return number


def whole(value: object) -> int | None:
    """Return a whole number of any library as Python's, and None for anything else.

    >>> whole(np.int64(4)), whole(np.array(4)), whole(4.0), whole(True)
    (4, 4, None, None)
    """
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
