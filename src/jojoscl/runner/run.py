"""One run: load -> cluster -> evaluate -> write."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jojoscl.cells.checks import without_labels
from jojoscl.core.interface import Method, Result
from jojoscl.networks.settings import CsvLog, EpochLog, Run
from jojoscl.runner import output
from jojoscl.runner.config import Plain, build, plain
from jojoscl.runner.resolved import Resolved
from jojoscl.runner.wandb import Wandb
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import finished, progress

log = logging.getLogger(__name__)


def run(job: Resolved, folder: Path) -> Plain:
    """Do a run in `folder` and return its metrics; a finished run is read, not done again."""
    if found := output.finished(folder, job):
        if job.cfg.get("logger"):
            log.warning("%s is finished: nothing is logged; force=true runs it again", folder)
        return found
    job.check()
    with output.owned(folder):  # another command may have finished it meanwhile
        stages = "load", *job.method.stages, "scores", "pictures"
        with progress(job.method.name, stages, None if job.trainer.progress_bar else False):
            return output.finished(folder, job) or _run(job, folder)


def _run(job: Resolved, folder: Path) -> Plain:
    settings = job.settings
    forget_peak_memory()
    started = time.perf_counter()
    cells = job.corrupt(job.data.load(), seed=settings.seed)
    loaded = time.perf_counter()
    finished("load")
    truth = np.asarray(cells.obs["cell_type"].astype(str)) if "cell_type" in cells.obs else None
    n_clusters = number_of_clusters(settings.n_clusters, truth)
    handed = handed_labels(job.method, settings.selection, truth)
    if settings.force:
        output.clear(folder)
    with logs_of(job, folder) as logs:
        if job.method.takes_run:
            handed["run"] = Run(
                folder=folder, trainer=job.trainer, loggers=logs, config_hash=job.config_hash
            )
        result = job.method.fit_predict(
            without_labels(cells), n_clusters, seed=settings.seed, **handed
        )
        seconds = seconds_of(loaded - started, result, time.perf_counter() - started)
        scores = evaluate(truth, result)
        finished("scores")
        metrics = output.describe(job, cells, result, truth, scores, seconds)
        output.write(folder, job, cells, truth, result, metrics)
        for mirror in logs:
            if isinstance(mirror, Wandb):
                mirror.log_results(folder, metrics)
    return metrics


def forget_peak_memory() -> None:
    """Forget the peak of earlier runs of a sweep, so that this run's is reported; on Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # gives back what earlier runs freed
        Path("/proc/self/clear_refs").write_text("5")


def number_of_clusters(wanted: int | str | None, truth: np.ndarray | None) -> int | None:
    """Return K; for "annotated" the number of types, all that a method learns of the labels."""
    if not isinstance(wanted, str):
        return wanted
    if truth is None:
        raise UserError("There are no annotated types to count: give n_clusters=<whole number>.")
    return len(np.unique(truth))


def handed_labels(method: Method, selection: str, truth: np.ndarray | None) -> Plain:
    """Return what `method` gets of the true labels: nothing, but for two kinds of marked runs.

    With selection=oracle it gets a scorer, ARI + NMI, as in the released code. The ceiling, which
    has `takes_truth`, gets the labels (n_cells,) themselves.
    """
    if selection != "oracle" and not method.takes_truth:
        return {}
    if truth is None:
        what = f"method={method.name}" if method.takes_truth else "selection=oracle"
        raise UserError(f"{what} needs annotated types, and these cells have none: choose another.")
    if method.takes_truth:
        return {"truth": truth}
    return {"oracle": functools.partial(_ari_and_nmi, truth)}


def _ari_and_nmi(truth: np.ndarray, labels: np.ndarray) -> float:
    from jojoscl.core.metrics import scores

    found = scores(truth, labels)
    return found["ari"] + found["nmi"]


def evaluate(truth: np.ndarray | None, result: Result) -> dict[str, float | None]:
    """Return the scores.

    Where an oracle chose the epoch, those of the last epoch stand beside them (`last_ari` ...).
    """
    from jojoscl.core.metrics import scores, silhouette

    found: dict[str, float | None] = {}
    if truth is not None:
        found |= scores(truth, result.labels)
        if result.last_labels is not None:
            last = scores(truth, result.last_labels)
            found |= {f"last_{name}": value for name, value in last.items()}
    return found | {"silhouette": silhouette(result.embedding, result.labels)}


def seconds_of(load: float, result: Result, wall: float) -> dict[str, float]:
    """Return the seconds of each stage, of the method and in total.

    The stages of a resumed run hold the seconds from before it was cut off too.
    """
    stages = {"load": load, **result.seconds}
    total = max(wall, sum(stages.values()))
    return stages | {"method": sum(result.seconds.values()), "total": total}


@contextlib.contextmanager
def logs_of(job: Resolved, folder: Path) -> Iterator[tuple[EpochLog, ...]]:
    """Yield the CSV log, and the one that `logger` names, which ends after the block."""
    logs: tuple[EpochLog, ...] = (CsvLog(folder),)
    if not job.cfg.get("logger"):
        yield logs
        return
    mirror: Wandb = build(job.cfg.logger)
    mirror.start(folder, plain(job.cfg), job.folder, job.config_hash)
    try:
        yield (*logs, mirror)
    finally:
        mirror.close()
