"""One run: compose -> load -> fit -> evaluate -> write."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from jojoscl.cells.checks import without_labels
from jojoscl.core.interface import Method, Result
from jojoscl.core.metrics import scores, silhouette
from jojoscl.networks.logs import EpochLog, csv_log
from jojoscl.networks.settings import Run
from jojoscl.runner import output
from jojoscl.runner.config import (
    Plain,
    check_together,
    config_hash,
    plain,
    run_settings,
    study_point,
    varied,
    with_settings,
)  # fmt: skip
from jojoscl.runner.registry import build
from jojoscl.runner.wandb import Wandb
from jojoscl.utils.errors import UserError


def run(cfg: DictConfig, folder: Path) -> Plain:
    """Do the run that `cfg` describes in `folder` and return its metrics; a finished run is read, not done again."""
    cfg = varied(cfg)
    if finished := _finished(cfg, folder):
        return finished
    run_settings(cfg)
    with output.owned(folder):
        return _finished(cfg, folder) or _run(
            cfg, folder
        )  # another command may have finished it meanwhile


def _finished(cfg: DictConfig, folder: Path) -> Plain | None:
    if cfg.force is True or (cfg.save_model and not (folder / output.MODEL).exists()):
        return None
    return output.read_metrics(folder, config_hash(cfg))


def _run(cfg: DictConfig, folder: Path) -> Plain:
    method, dataset, trainer, corrupt = (
        build(cfg[node]) for node in ("method", "data", "trainer", "corrupt")
    )
    check_together(cfg, method)
    forget_peak_memory()
    started = time.perf_counter()
    cells = corrupt(dataset.load(), seed=cfg.seed)
    loaded = time.perf_counter()
    truth = np.asarray(cells.obs["cell_type"].astype(str)) if "cell_type" in cells.obs else None
    n_clusters = number_of_clusters(cfg.n_clusters, truth)
    handed = handed_labels(method, cfg.selection, truth)
    if cfg.force:
        output.clear(folder)
    with loggers_of(cfg, folder) as loggers:
        if method.takes_run:
            handed["run"] = Run(folder, trainer, loggers, config_hash(cfg))
        result = method.fit_predict(without_labels(cells), n_clusters, seed=cfg.seed, **handed)
        wall = time.perf_counter() - started
        stages = {"load": loaded - started, **result.seconds}
        metrics = {
            **output.describe(cfg, cells, result),
            "n_types": None if truth is None else len(np.unique(truth)),
            **study_point(cfg),
            **evaluate(truth, result),
            "silhouette": silhouette(result.embedding, result.labels),
            # The stages of a resumed run hold the seconds from before it was cut off too.
            "seconds": stages
            | {"method": sum(result.seconds.values()), "total": max(wall, sum(stages.values()))},
        }
        if "truth" in handed:
            metrics["selection"] = "truth"  # a ceiling, told apart from what no label touched
        output.write(folder, cfg, cells, truth, result, metrics)
        for logger in loggers:
            if isinstance(logger, Wandb):
                logger.log_results(folder, metrics)
    return metrics


def forget_peak_memory() -> None:
    """Let the peak that is reported be this run's, not that of an earlier one of the sweep; possible on Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # gives back what earlier runs freed
        Path("/proc/self/clear_refs").write_text("5")


def number_of_clusters(wanted: int | str | None, truth: np.ndarray | None) -> int | None:
    """Return K: "annotated" is how many types there are, the one thing a method is told of the labels."""
    if not isinstance(wanted, str):
        return wanted
    if truth is None:
        raise UserError(
            "These cells have no annotated types to count: give n_clusters=<whole number>."
        )
    return len(np.unique(truth))


def handed_labels(method: Method, selection: str, truth: np.ndarray | None) -> Plain:
    """Return what `method` is handed of the true labels: nothing, but for two kinds of runs that are marked.

    With selection=oracle it is a scorer, ARI + NMI, as in the released code. The ceiling, which
    says so by `takes_truth`, is handed the labels (n_cells,) themselves.
    """
    if selection != "oracle" and not method.takes_truth:
        return {}
    if truth is None and method.takes_truth:
        raise UserError(
            f"method={method.name} needs annotated types, and these cells have none: choose another."
        )
    if truth is None:
        raise UserError(
            "selection=oracle needs annotated types, and these cells have none: use selection=last."
        )
    return (
        {"truth": truth}
        if method.takes_truth
        else {"oracle": functools.partial(_ari_and_nmi, truth)}
    )


def _ari_and_nmi(truth: np.ndarray, labels: np.ndarray) -> float:
    found = scores(truth, labels)
    return found["ari"] + found["nmi"]


def evaluate(truth: np.ndarray | None, result: Result) -> dict[str, float]:
    """Return the scores; where an oracle chose the epoch, also those of the last one (`last_ari` ...)."""
    if truth is None:
        return {}
    last = {} if result.last_labels is None else scores(truth, result.last_labels)
    return scores(truth, result.labels) | {f"last_{name}": value for name, value in last.items()}


@contextlib.contextmanager
def loggers_of(cfg: DictConfig, folder: Path) -> Iterator[tuple[EpochLog, ...]]:
    """Yield the CSV log, and the one that `logger` names; W&B's run ends after the block."""
    loggers: list[EpochLog] = [csv_log(folder)]
    if cfg.get("logger"):
        loggers.append(build(with_settings(cfg.logger, {"save_dir": str(folder)})))
    try:
        if isinstance(loggers[-1], Wandb):
            loggers[-1].start(plain(cfg))
        yield tuple(loggers)
    finally:
        for logger in loggers:
            if isinstance(logger, Wandb):
                logger.close()
