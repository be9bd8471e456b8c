"""One run: load -> cluster -> evaluate -> write. Its folder holds all that it leaves."""

import contextlib
import datetime
import functools
import json
import logging
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from filelock import FileLock
from omegaconf import OmegaConf
from pandas.api.types import is_object_dtype

from jojoscl.cells.checks import LABELS, without_labels
from jojoscl.core.interface import Method, Result
from jojoscl.core.metrics import best_clusters, scores, silhouette
from jojoscl.networks.settings import Run
from jojoscl.runner.config import Plain, Resolved, build
from jojoscl.runner.machine import forget_peak_memory, git_commit, machine, peak_memory_mb, versions
from jojoscl.runner.sweep import PAGE
from jojoscl.tools.annotate import annotate, params_of
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import TEMPORARY, delete, write_whole
from jojoscl.utils.progress import Stopwatch, finished, progress

log = logging.getLogger(__name__)

MODEL = "model.npz"
_OF_CELLS = ("variant", "kind", "kind_decided_by", "input_made_by_types")  # in the cells' uns


def run(job: Resolved, folder: Path) -> Plain:
    """Do a run in `folder` and return its metrics; a finished run is read, not done again."""
    with owned(folder):
        if found := earlier(folder, job):
            if job.cfg.get("logger"):
                log.warning("%s is finished: nothing is logged; force=true runs it again", folder)
            return found
        job.check()
        stages = "load", *job.method.stages, "scores", "pictures"
        with progress(job.method.name, stages, None if job.trainer.progress_bar else False):
            return _run(job, folder)


def _run(job: Resolved, folder: Path) -> Plain:
    settings, method = job.settings, job.method
    if not method.takes_run and (ignored := job.trainer.decisive()):
        log.warning("%s trains no network: trainer.%s is ignored", method.name, "/".join(ignored))
    forget_peak_memory()
    started, watch = time.perf_counter(), Stopwatch()
    cells = job.corrupt(job.data.load(), seed=settings.seed)
    watch.lap("load")
    truth = types(cells)
    n_clusters = number_of_clusters(settings.n_clusters, truth)
    handed = handed_labels(method, settings.selection, truth)
    for path in (folder / "metrics.json", *folder.glob("*.ckpt")) if settings.force else ():
        path.unlink(missing_ok=True)
    logger = build(job.cfg.logger).started(folder, job) if job.cfg.get("logger") else None
    with logger or contextlib.nullcontext() as mirror:
        if method.takes_run:
            logs = (mirror.log_metrics,) if mirror else ()
            handed["run"] = Run(folder, job.trainer, logs, job.config_hash)
        result = method.fit_predict(without_labels(cells), n_clusters, seed=settings.seed, **handed)
        # The stages of a resumed run hold the seconds from before it was cut off too.
        seconds = watch.seconds | result.seconds
        total = max(time.perf_counter() - started, sum(seconds.values()))
        seconds |= {"method": sum(result.seconds.values()), "total": total}
        scored = evaluate(truth, result)
        finished("scores")
        metrics = describe(job, cells, result) | scored | {"seconds": seconds}
        write(folder, job, cells, result, metrics)
        if mirror:
            mirror.log_results(folder, metrics)
    return metrics


def types(cells: AnnData) -> np.ndarray | None:
    """Return the annotated types (n_cells,), if they are known."""
    return np.asarray(cells.obs[LABELS].astype(str)) if LABELS in cells.obs else None


def number_of_clusters(wanted: int | str | None, truth: np.ndarray | None) -> int | None:
    """Return K; for "annotated" the number of types, all that a method learns of the labels."""
    if not isinstance(wanted, str):
        return wanted
    if truth is None:
        raise UserError("There are no annotated types to count: give n_clusters=<whole number>.")
    return len(np.unique(truth))


def handed_labels(method: Method, selection: str, truth: np.ndarray | None) -> Plain:
    """Return what `method` is given of the true labels: nothing, except in two kinds of runs.

    Such runs are marked in their metrics. With selection=oracle it gets what scores its clusters.
    The ceiling, which has `takes_truth`, gets the labels (n_cells,) themselves.
    """
    if selection != "oracle" and not method.takes_truth:
        return {}
    if truth is None:
        what = f"method={method.name}" if method.takes_truth else "selection=oracle"
        raise UserError(f"{what} needs annotated types, and these cells have none: choose another.")
    if method.takes_truth:
        return {"truth": truth}
    return {"oracle": functools.partial(scores, truth)}


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


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own a run's folder in this block; another command that wants it waits.

    The system frees the lock when the process dies. Files that a killed owner left half-written are
    deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    if lock.exists():
        log.info("waiting for the process that runs %s, if there is one", folder)
    with FileLock(lock):
        for path in folder.glob(f"{TEMPORARY}*"):
            delete(path)
        try:
            yield
        finally:  # deleted while it is held: those who wait see that it is gone, and make it anew
            delete(lock)


def earlier(folder: Path, job: Resolved) -> Plain | None:
    """Return the metrics of a finished run.

    None if there is none, or if a file is missing that it wrote or that `job` asks for.

    Raises
    ------
    UserError
        The folder holds a run with other settings.
    """
    path, settings = folder / "metrics.json", job.settings
    if settings.force or not path.exists():
        return None
    try:
        metrics: Plain = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: delete it, or run again by force=true.") from error
    if metrics.get("config_hash") != job.config_hash:
        raise UserError(f"{folder} holds a run with other settings: give force=true.")
    asked = {MODEL: settings.save_model, PAGE: settings.page}
    files = [*metrics.get("files", []), *(name for name, wanted in asked.items() if wanted)]
    return metrics if all((folder / name).exists() for name in files) else None


def describe(job: Resolved, cells: AnnData, result: Result) -> Plain:
    """Return what was run, on what, and with which versions."""
    settings = job.settings
    return {
        "experiment": settings.name,
        "dataset": job.data.name,
        "path": job.cfg.data.get("path"),
        "method": job.method.name,
        "seed": settings.seed,
        # The ceiling is marked: labels reached it.
        "selection": "truth" if job.method.takes_truth else settings.selection,
        "n_clusters_asked": settings.n_clusters,
        "n_cells": cells.n_obs,
        "n_genes": cells.n_vars,
        **{name: about for name, about in cells.uns.items() if name in _OF_CELLS},
        "n_clusters": len(np.unique(result.labels)),
        **result.info,
        "peak_memory_mb": peak_memory_mb(),
        "python": platform.python_version(),
        "machine": machine(),
        "versions": versions(),
        "settings": job.decisive,
        "config_hash": job.config_hash,
        "git_commit": git_commit(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **point_of(job.changes),
    }


def point_of(changes: Plain) -> Plain:
    """Return two columns of a study's table: the `setting` that it changes, and its `strength`.

    Of several settings the last one is the setting, and the others stand before it:
    "mask_rate=0.5, noise_sd" at 0.1.

    >>> point_of({"method.mask_rate": 0.5, "method.noise_sd": 0.1})
    {'setting': 'mask_rate=0.5, noise_sd', 'strength': 0.1}
    """
    if not changes:
        return {"setting": None, "strength": None}
    *others, (name, value) = [(key.partition(".")[2] or key, v) for key, v in changes.items()]
    return {
        "setting": ", ".join([*(f"{key}={other}" for key, other in others), name]),
        "strength": value if isinstance(value, int | float | str) else str(value),
    }


def write(folder: Path, job: Resolved, cells: AnnData, result: Result, metrics: Plain) -> None:
    """Write everything else first, metrics.json last: where it stands, the run is finished."""
    settings, truth = job.settings, types(cells)
    known = {} if truth is None else {LABELS: truth}
    labels = pd.DataFrame({"cell": cells.obs_names, "cluster": result.labels, **known})
    asked = {name: getattr(job.data, name, None) for name in ("batch_key", "layer")}
    asked["n_clusters"] = settings.n_clusters if settings.n_clusters != "annotated" else None
    params = params_of(job.method, getattr(job.data, "kind", "auto"), seed=settings.seed, **asked)
    files: dict[str, str | bytes] = {
        "labels.csv": labels.to_csv(index=False),
        "config.yaml": OmegaConf.to_yaml(job.cfg, resolve=True),
        "result.h5ad": h5ad_bytes(result_anndata(cells, result, params)),
    }
    if result.shrinkage:
        files["shrinkage.csv"] = pd.DataFrame(result.shrinkage).to_csv(index=False)
    if settings.pictures or settings.page:
        from jojoscl.runner import page

        umap = functools.partial(
            page.umap, result.embedding, result.labels, truth, seed=settings.seed
        )
        curves = {"losses.png": functools.partial(page.loss_curves, result.history)}
        drawn = page.tried({"umap.png": umap} | (curves if result.history else {}))
        files |= drawn if settings.pictures else {}
        if settings.page:
            files[PAGE] = page.html(job, cells, result, metrics, drawn.get("umap.png"))
    for name, content in files.items():
        write_whole(folder / name, content)
    if settings.save_model and result.model:
        result.model.save(folder / MODEL, overwrite=True)
    metrics["files"] = sorted(files)
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")


def h5ad_bytes(adata: AnnData) -> bytes:
    """Return an h5ad's content: HDF5 crashes where it meets a full disk itself."""
    with h5py.File("result.h5ad", "w", driver="core", backing_store=False) as file:
        write_elem(file, "/", adata)
        file.flush()
        return bytes(file.id.get_file_image())


def result_anndata(cells: AnnData, result: Result, asked: Plain) -> AnnData:
    """Return clusters and embedding with the cells' names and annotations, without the matrix."""
    own = cells.uns.get("obs", cells.obs).loc[cells.obs_names]
    own = own.join(cells.obs[cells.obs.columns.difference(own.columns)])
    for name in filter(lambda name: is_object_dtype(own[name]), own):  # an h5ad takes words and NaN
        own[name] = own[name].map(str, na_action="ignore").astype("category")
    adata = AnnData(obs=own)
    annotate(adata, "jojoscl", result, asked, cells.uns)
    return adata
