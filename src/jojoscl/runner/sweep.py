"""Tables of runs: one row a run, and what a sweep prints when it ends."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from jojoscl.runner.arguments import parse, refuse_empty_sweeps
from jojoscl.runner.streams import Tolerant
from jojoscl.utils.errors import UserError, stop
from jojoscl.utils.processes import live_with_parent

log = logging.getLogger(__name__)

FAILED = "failed.txt"
SCORES = ("ari", "nmi", "acc")
_KEYS = (
    "dataset", "path", "variant", "method",
    "preset",  # of runs from before each method had one name
    "selection", "n_clusters_asked", "setting", "strength",
)  # fmt: skip


def collect(folder: Path) -> pd.DataFrame:
    """Return all finished runs below `folder`, one row each; a run by selection=oracle adds that of its last epoch.

    The column `settings` holds what decides a run's result, {dotted name: value}.
    """
    rows = []
    for path in sorted(folder.rglob("metrics.json")):
        try:
            row = _row(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            log.warning("%s cannot be read as the metrics of a run: it is left out of the table", path)
            continue
        row["folder"] = str(path.parent)
        last = {key: row.pop(f"last_{key}", None) for key in SCORES}
        rows.append(row)
        if last["ari"] is not None:
            rows.append(row | last | {"selection": "last"})
    return pd.DataFrame(rows)


def _row(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the scalars of a metrics.json; a ValueError, TypeError or LookupError where it is not one of ours."""
    seconds = metrics["seconds"]
    numbers = [seconds["total"], metrics["seed"], *(metrics.get(key) for key in SCORES)]
    words = [metrics["dataset"], metrics["method"]]
    if not all(number is None or isinstance(number, Real) for number in numbers):
        raise TypeError("scores and seconds are numbers")
    if not all(isinstance(word, str) for word in words):
        raise TypeError("names are words")
    row = {key: value for key, value in metrics.items() if not isinstance(value, dict | list)}
    settings = _flat(metrics.get("settings") or {})
    return row | {"seconds": seconds["total"], "seconds_method": seconds.get("method"), "settings": settings}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return flat


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean scores and seconds over seeds: whatever else tells two runs apart is a column."""
    by = [name for name in _KEYS if name in runs and runs[name].notna().any()]
    settings = pd.DataFrame(list(runs["settings"]), index=runs.index).drop(columns="seed", errors="ignore")
    for name in map(str, settings):
        if (settings.groupby([runs[key] for key in by], dropna=False)[name].nunique() > 1).any():
            runs = runs.assign(**{name: settings[name]})
            by.append(name)
    values = [name for name in (*SCORES, "seconds") if name in runs]
    groups = runs.astype(dict.fromkeys(values, float)).groupby(by, dropna=False, sort=False)
    table = groups[values].mean()
    table.insert(0, "runs", groups.size())
    return table.reset_index()


class SweepSummary(Callback):
    """At the end of a sweep: the table, where the pictures are, what failed and why; exit code 1 if a job failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse what cannot be swept, and note which jobs failed earlier."""
        if config.trainer.devices > 1:
            stop("A sweep trains each run on one device: leave out -m, or trainer.devices.", "jojoscl")
        params = OmegaConf.select(config, "hydra.sweeper.params") or {}
        try:
            refuse_empty_sweeps(parse([f"{key}={value}" for key, value in params.items()]))
        except UserError as error:
            stop(str(error), "jojoscl")
        if "joblib" in config.hydra.launcher._target_:
            _tie_workers()
        self.earlier = _failures(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table and the failed jobs."""
        folder = Path(config.hydra.sweep.dir)
        try:
            _print_table(collect(folder))
        except Exception as error:  # which Hydra would swallow together with the failed jobs
            log.warning("The table of %s could not be made (%s: %s)", folder, type(error).__name__, error)
        failed = sorted(_failures(folder).items() - self.earlier.items())
        for path, _ in failed:
            print(f"\nFailed: {path.parent}: {path.read_text(errors='replace').strip()}")
        if failed:
            sys.exit(1)


def _print_table(runs: pd.DataFrame) -> None:
    if runs.empty:
        return
    table = summary(runs).astype(object)
    print("\n" + table.where(table.notna(), "").to_string(index=False, float_format=lambda x: f"{x:.3f}"))
    pictures = sorted({str(Path(run) / "umap.png") for run in runs["folder"]})
    print("\nPictures:\n  " + "\n  ".join(picture for picture in pictures if Path(picture).exists()))


def _failures(folder: Path) -> dict[Path, int]:
    """Return when each job below `folder` failed, in ns."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob(FAILED) if path.is_file()}


def _tie_workers() -> None:
    """Let joblib's processes end with this one."""
    import joblib
    from joblib._parallel_backends import LokyBackend

    joblib.register_parallel_backend("loky", functools.partial(LokyBackend, initializer=_begin_worker))


def _begin_worker() -> None:
    live_with_parent()
    logging.raiseExceptions = False
    sys.stdout, sys.stderr = (stream and Tolerant(stream) for stream in (sys.stdout, sys.stderr))  # type: ignore
