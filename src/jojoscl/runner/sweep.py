"""Tables of runs: one row a run, and what a sweep prints when it ends."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from jojoscl.utils.errors import stop

log = logging.getLogger(__name__)

FAILED = "failed.txt"


def collect(folder: Path) -> pd.DataFrame:
    """All finished runs below `folder`, one row each; a run by selection=oracle also has the row of its last epoch."""
    rows = []
    for path in sorted(folder.rglob("metrics.json")):
        try:
            metrics = json.loads(path.read_text())
        except ValueError:
            log.warning("%s cannot be read: it is left out of the table", path)
            continue
        row = {key: value for key, value in metrics.items() if not isinstance(value, dict | list)}
        seconds = metrics["seconds"]
        row |= {"seconds": seconds["total"], "seconds_method": seconds.get("method"), "folder": str(path.parent)}
        last = {key: row.pop(f"last_{key}", None) for key in ("ari", "nmi", "acc")}
        rows.append(row)
        if last["ari"] is not None:
            rows.append(row | last | {"selection": "last"})
    return pd.DataFrame(rows)


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean of the scores and seconds over seeds, by what was run."""
    keys = ("dataset", "method", "selection", "setting", "strength")
    by = [name for name in keys if name in runs and runs[name].notna().any()]
    values = [name for name in ("ari", "nmi", "acc", "seconds") if name in runs]
    table = runs.groupby(by, dropna=False, sort=False)[values].mean()
    table.insert(0, "runs", runs.groupby(by, dropna=False, sort=False).size())
    return table.reset_index()


class SweepSummary(Callback):
    """At the end of a sweep: the table, where the pictures are, what failed and why; exit code 1 if a job failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if config.trainer.devices > 1:
            stop("A sweep trains each run on one device: leave out -m, or trainer.devices.", "jojoscl")
        self.earlier = _failures(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        runs = collect(folder)
        if not runs.empty:
            print("\n" + summary(runs).fillna("").to_string(index=False, float_format=lambda x: f"{x:.3f}"))
            pictures = sorted({str(Path(run) / "umap.png") for run in runs["folder"]})
            print("\nPictures:\n  " + "\n  ".join(picture for picture in pictures if Path(picture).exists()))
        failed = sorted(_failures(folder).items() - self.earlier.items())
        for path, _ in failed:
            print(f"\nFailed: {path.parent}: {path.read_text().strip()}")
        if failed:
            sys.exit(1)


def _failures(folder: Path) -> dict[Path, int]:
    """When each job below `folder` failed, in ns."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob(FAILED)}
