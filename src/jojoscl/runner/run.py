"""One run: load -> cluster -> evaluate -> write."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from pathlib import Path

import numpy as np

from jojoscl.cells.checks import without_labels
from jojoscl.core.interface import Method, Result
from jojoscl.core.metrics import best_clusters, scores, silhouette
from jojoscl.networks.settings import Run
from jojoscl.runner import output
from jojoscl.runner.config import Plain, Resolved, build
from jojoscl.runner.machine import forget_peak_memory
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import finished, progress

log = logging.getLogger(__name__)


def run(job: Resolved, folder: Path) -> Plain:
    """Do a run in `folder` and return its metrics; a finished run is read, not done again."""
    with output.owned(folder):
        if found := output.finished(folder, job):
            if job.cfg.get("logger"):
                log.warning("%s is finished: nothing is logged; force=true runs it again", folder)
            return found
        job.check()
        stages = "load", *job.method.stages, "scores", "pictures"
        with progress(job.method.name, stages, None if job.trainer.progress_bar else False):
            return _run(job, folder)


def _run(job: Resolved, folder: Path) -> Plain:
    settings, method = job.settings, job.method
    forget_peak_memory()
    started = time.perf_counter()
    cells = job.corrupt(job.data.load(), seed=settings.seed)
    load = time.perf_counter() - started
    finished("load")
    truth = np.asarray(cells.obs["cell_type"].astype(str)) if "cell_type" in cells.obs else None
    n_clusters = number_of_clusters(settings.n_clusters, truth)
    handed = handed_labels(method, settings.selection, truth)
    for path in (folder / "metrics.json", *folder.glob("*.ckpt")) if settings.force else ():
        path.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        mirror = build(job.cfg.logger) if job.cfg.get("logger") else None
        if mirror:
            mirror.start(folder, job)
            stack.callback(mirror.close)
        if method.takes_run:
            loggers = (mirror,) if mirror else ()
            handed["run"] = Run(folder, job.trainer, loggers, job.config_hash)
        result = method.fit_predict(without_labels(cells), n_clusters, seed=settings.seed, **handed)
        # The stages of a resumed run hold the seconds from before it was cut off too.
        seconds = {"load": load, **result.seconds}
        total = max(time.perf_counter() - started, sum(seconds.values()))
        seconds |= {"method": sum(result.seconds.values()), "total": total}
        scored = evaluate(truth, result)
        finished("scores")
        metrics = output.describe(job, cells, result) | scored | {"seconds": seconds}
        output.write(folder, job, cells, truth, result, metrics)
        if mirror:
            mirror.log_results(folder, metrics)
    return metrics


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
    found = scores(truth, labels)
    return found["ari"] + found["nmi"]


def evaluate(truth: np.ndarray | None, result: Result) -> Plain:
    """Return the scores, and of each type its cells, and recall and precision of its best cluster.

    Without types (`truth` is None) only the silhouette is known. Where an oracle chose the epoch,
    the scores of the last epoch stand beside (`last_ari` ...).
    """
    found: Plain = {"silhouette": silhouette(result.embedding, result.labels), "n_types": None}
    if truth is not None:
        found["n_types"] = len(np.unique(truth))
        found |= scores(truth, result.labels)
        types = best_clusters(truth, result.labels).round(4).tolist()
        found["types"] = [[int(n), *shares] for n, *shares in types]
        if result.last_labels is not None:
            last = scores(truth, result.last_labels)
            found |= {f"last_{name}": value for name, value in last.items()}
    return found
