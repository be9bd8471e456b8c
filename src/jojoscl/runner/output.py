"""What a run leaves in its folder."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import logging
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from jojoscl.core.interface import Result
from jojoscl.runner import page, plots
from jojoscl.runner.config import Plain, config_hash, decisive, plain
from jojoscl.runner.machine import machine, peak_memory_mb
from jojoscl.tools.annotate import annotate
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import sweep_temporaries, whole_file

log = logging.getLogger(__name__)

MODEL, PAGE = "model.npz", "page.html"
_VERSIONS = [
    "jojoscl",
    "torch",
    "lightning",
    "numpy",
    "scipy",
    "scikit-learn",
    "scanpy",
    "anndata",
    "hydra-core",
]


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own a run's folder in this block; another command that wants it waits, and may then find the run finished.

    The system lets go of the lock when the process dies. What killed owners left half-written is
    deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("%s is being run by another process: waiting for it", folder)
        lock.acquire()
    try:
        sweep_temporaries(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            (
                folder / ".lock"
            ).unlink()  # while it is held: those who wait see that it is gone, and make it anew
        lock.release()


def read_metrics(folder: Path, wanted_hash: str) -> Plain | None:
    """Return the metrics of a finished run, None if there is none.

    Raises
    ------
    UserError
        The folder holds a run with other settings.
    """
    path = folder / "metrics.json"
    if not path.exists():
        return None
    try:
        metrics: Plain = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: delete it, or run again by force=true.") from error
    if metrics.get("config_hash") != wanted_hash:
        raise UserError(
            f"{folder} holds a run with other settings: choose another hydra.run.dir, or force=true."
        )
    return metrics


def clear(folder: Path) -> None:
    """Forget that the run in `folder` was finished or begun."""
    for path in (folder / "metrics.json", *folder.glob("*.ckpt")):
        path.unlink(missing_ok=True)


def describe(cfg: DictConfig, cells: AnnData, result: Result) -> Plain:
    """Return what was run, on what, and with which versions."""
    return {
        "experiment": cfg.name,
        "dataset": cfg.data.name,
        "path": OmegaConf.select(cfg, "data.path"),
        "variant": cells.uns.get("variant"),
        "method": cfg.method.name,
        "seed": cfg.seed,
        "selection": cfg.selection,
        "n_clusters_asked": cfg.n_clusters,
        "n_cells": cells.n_obs,
        "n_genes": cells.n_vars,
        "kind": cells.uns["kind"],
        "kind_decided_by": cells.uns.get("kind_decided_by"),
        **{name: word for name, word in cells.uns.items() if name == "input_made_by_types"},
        "n_clusters": len(np.unique(result.labels)),
        **result.info,
        "peak_memory_mb": peak_memory_mb(),
        "python": platform.python_version(),
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
        "settings": decisive(cfg),
        "config_hash": config_hash(cfg),
        "git_commit": git_commit(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def write(
    folder: Path,
    cfg: DictConfig,
    cells: AnnData,
    truth: np.ndarray | None,
    result: Result,
    metrics: Plain,
) -> None:
    """Write everything else first, metrics.json last: where it stands, the run is finished."""
    known = {} if truth is None else {"cell_type": truth}
    labels = pd.DataFrame({"cell": cells.obs_names, "cluster": result.labels, **known})
    write_whole(folder / "labels.csv", labels.to_csv(index=False))
    if result.shrinkage:
        write_whole(folder / "shrinkage.csv", pd.DataFrame(result.shrinkage).to_csv(index=False))
    write_whole(folder / "config.yaml", OmegaConf.to_yaml(plain(cfg)))
    write_whole(folder / "result.h5ad", h5ad_bytes(result_anndata(cells, result, metrics)))
    if cfg.pictures:
        if result.history:
            write_whole(folder / "losses.png", plots.loss_curves(result.history))
        write_whole(
            folder / "umap.png", plots.umap(result.embedding, result.labels, truth, seed=cfg.seed)
        )
    if cfg.save_model and result.model:
        result.model.save(folder / MODEL, overwrite=True)
    if cfg.page:
        write_whole(folder / PAGE, page.html(cfg, cells, truth, result, metrics))
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, which appears whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def h5ad_bytes(adata: AnnData) -> bytes:
    """Return an h5ad's content: a full disk in the middle of HDF5's own writing would end in a crash."""
    with h5py.File("result.h5ad", "w", driver="core", backing_store=False) as file:
        write_elem(file, "/", adata)
        file.flush()
        return bytes(file.id.get_file_image())


def result_anndata(cells: AnnData, result: Result, metrics: Plain) -> AnnData:
    """Return clusters and embedding with the cells' names and annotations, without the matrix."""
    adata = AnnData(obs=cells.obs.copy())
    annotate(adata, "jojoscl", result, metrics["settings"], cells)
    adata.uns["jojoscl"]["metrics"] = json.dumps(metrics)
    return adata


def git_commit() -> str | None:
    """Return the commit of the checkout that the package is in, with "+" when it was changed since.

    None where there is no checkout, no git, or a git that fails.
    """
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():  # installed, perhaps below a repository of the user's
        return None
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
