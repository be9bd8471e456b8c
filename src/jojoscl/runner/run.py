"""One run: compose -> load -> fit -> evaluate -> write."""

from __future__ import annotations

import contextlib
import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig

from jojoscl.clustering.metrics import scores, silhouette
from jojoscl.data.cells import without_labels
from jojoscl.methods.base import Method, Result
from jojoscl.runner import output
from jojoscl.runner.config import (
    check_together,
    config_hash,
    plain,
    run_settings,
    study_point,
    varied,
    with_settings,
)
from jojoscl.runner.registry import build
from jojoscl.runner.wandb import Wandb
from jojoscl.training.settings import Run
from jojoscl.utils.errors import UserError


def run(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Do the run that `cfg` describes in `folder` and return its metrics; a finished run is read, not done again."""
    cfg = varied(cfg)
    if cfg.force is not True and (finished := output.read_metrics(folder, config_hash(cfg))):
        return finished
    run_settings(cfg)
    method, dataset, trainer = build(cfg.method), build(cfg.data), build(cfg.trainer)
    corrupt = build(cfg.corrupt)
    check_together(cfg, method)

    forget_peak_memory()
    started = time.perf_counter()
    cells = corrupt(dataset.load(), seed=cfg.seed)
    loaded = time.perf_counter()
    truth = np.asarray(cells.obs["cell_type"].astype(str)) if "cell_type" in cells.obs else None
    n_clusters = number_of_clusters(cfg.n_clusters, truth)
    loggers = make_loggers(cfg, folder)
    if cfg.force:
        output.clear(folder)
    try:
        result = method.fit_predict(
            without_labels(cells),
            n_clusters,
            seed=cfg.seed,
            run=Run(folder, Path(cfg.paths.cache), trainer, loggers, config_hash(cfg)),
            **truth_for(method, cfg.selection, truth),
        )
        seconds = {"load": loaded - started, **result.seconds}
        metrics = {
            **output.describe(cfg, cells, result),
            "n_types": None if truth is None else len(np.unique(truth)),
            **study_point(cfg),
            **evaluate(truth, result),
            "silhouette": silhouette(result.embedding, result.labels),
            "seconds": seconds | {"method": sum(result.seconds.values()), "total": sum(seconds.values())},
        }
        output.write(folder, cfg, cells, truth, result, metrics)
        for logger in loggers[1:]:
            if isinstance(logger, Wandb):
                logger.log_results(folder, metrics)
            else:
                logger.log_metrics({k: v for k, v in metrics.items() if isinstance(v, int | float)})
    finally:
        for logger in loggers:
            logger.finalize("success")
            if isinstance(logger, Wandb):
                logger.close()
    return metrics


def forget_peak_memory() -> None:
    """Let the peak that is reported be this run's, not that of an earlier one of the sweep; possible on Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def number_of_clusters(wanted: int | str | None, truth: np.ndarray | None) -> int | None:
    """K: a number as it is; "annotated" is how many types there are, the one thing a method is told of the labels."""
    if not isinstance(wanted, str):
        return wanted
    if truth is None:
        raise UserError("These cells have no annotated types to count: give n_clusters=<whole number>.")
    return len(np.unique(truth))


def truth_for(method: Method, selection: str, truth: np.ndarray | None) -> dict[str, Any]:
    """What of the labels a method is handed: a scorer under selection=oracle, all by the ceiling, else nothing."""
    if selection != "oracle" and not method.takes_truth:
        return {}
    if truth is None:
        asks = "selection=oracle" if selection == "oracle" else f"method={method.name}"
        raise UserError(f"{asks} needs annotated types, and these cells have none: choose another.")
    return {"truth": truth} if method.takes_truth else {"oracle": functools.partial(_ari_and_nmi, truth)}


def _ari_and_nmi(truth: np.ndarray, labels: np.ndarray) -> float:
    found = scores(truth, labels)
    return found["ari"] + found["nmi"]


def evaluate(truth: np.ndarray | None, result: Result) -> dict[str, float]:
    """ARI, NMI and ACC; where an oracle chose the epoch, also those of the last, label-free one (`last_ari` ...)."""
    if truth is None:
        return {}
    last = {} if result.last_labels is None else scores(truth, result.last_labels)
    return scores(truth, result.labels) | {f"last_{name}": value for name, value in last.items()}


def make_loggers(cfg: DictConfig, folder: Path) -> tuple[Any, ...]:
    """The CSV logger always, and the one that `logger` names."""
    csv = CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1)
    if not cfg.get("logger"):
        return (csv,)
    chosen = build(with_settings(cfg.logger, {"save_dir": str(folder)}))
    if isinstance(chosen, Wandb):
        chosen.start(plain(cfg))
    return (csv, chosen)
