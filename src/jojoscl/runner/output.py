"""What a run leaves in its folder."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from omegaconf import DictConfig, OmegaConf

from jojoscl.methods.annotate import annotate
from jojoscl.methods.base import Result
from jojoscl.runner import plots
from jojoscl.runner.config import config_hash, decisive, plain
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

_VERSIONS = (
    "jojoscl",
    "torch",
    "lightning",
    "numpy",
    "scipy",
    "scikit-learn",
    "scanpy",
    "anndata",
    "hydra-core",
)


def read_metrics(folder: Path, wanted_hash: str) -> dict[str, Any] | None:
    """The metrics of a finished run, None if there is none.

    Raises
    ------
    UserError
        The folder holds a run with other settings.
    """
    path = folder / "metrics.json"
    if not path.exists():
        return None
    try:
        metrics: dict[str, Any] = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: delete it, or run again by force=true.") from error
    if metrics.get("config_hash") != wanted_hash:
        raise UserError(f"{folder} holds a run with other settings: choose another hydra.run.dir, or force=true.")
    return metrics


def clear(folder: Path) -> None:
    """Forget that the run in `folder` was finished or begun."""
    for path in (folder / "metrics.json", *folder.glob("*.ckpt")):
        path.unlink(missing_ok=True)


def describe(cfg: DictConfig, cells: AnnData, result: Result) -> dict[str, Any]:
    """What was run, on what, and with which versions."""
    return {
        "experiment": cfg.name,
        "dataset": cfg.data.name,
        "variant": cells.uns.get("variant"),
        "method": cfg.method.name,
        "seed": cfg.seed,
        "selection": cfg.selection,
        "n_cells": cells.n_obs,
        "n_genes": cells.n_vars,
        "kind": cells.uns["kind"],
        "kind_decided_by": cells.uns.get("kind_decided_by"),
        "n_clusters": len(np.unique(result.labels)),
        **result.info,
        "peak_memory_mb": peak_memory_mb(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
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
    metrics: dict[str, Any],
) -> None:
    """Everything else first, metrics.json last: where it stands, the run is finished."""
    labels = pd.DataFrame({"cell": cells.obs_names, "cluster": result.labels})
    if truth is not None:
        labels["cell_type"] = truth
    with whole_file(folder / "labels.csv") as path:
        labels.to_csv(path, index=False)
    record = pd.DataFrame(result.shrinkage)
    if not record.empty:
        with whole_file(folder / "shrinkage.csv") as path:
            record.to_csv(path, index=False)
    with whole_file(folder / "config.yaml") as path:
        path.write_text(OmegaConf.to_yaml(plain(cfg)))
    with whole_file(folder / "result.h5ad") as path:
        result_anndata(cells, result, metrics, decisive(cfg)).write_h5ad(path)
    if cfg.pictures:
        plots.loss_curves(result.history, folder / "losses.png")
        plots.shrinkage(record, folder / "shrinkage.png")
        plots.umap(result.embedding, result.labels, truth, folder / "umap.png", seed=cfg.seed)
    with whole_file(folder / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2) + "\n")


def result_anndata(cells: AnnData, result: Result, metrics: dict[str, Any], settings: dict[str, Any]) -> AnnData:
    """Clusters and embedding with the cells' names and annotations, without the matrix."""
    adata = AnnData(obs=cells.obs.copy())
    annotate(adata, "jojoscl", result, settings, cells)
    adata.uns["jojoscl"]["metrics"] = json.dumps(metrics)
    return adata


def peak_memory_mb() -> float:
    """Most memory this process has held so far, in 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def git_commit() -> str | None:
    """Commit of the checkout that the package is in, with "+" when it was changed since; None outside of one."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
