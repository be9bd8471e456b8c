"""Runs that failed, and why: NAME_failed.csv beside NAME.csv, and a table of them on its page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.text import Section
from jojoscl.runner.sweep import FAILED
from jojoscl.utils.files import whole_file

COLUMNS = ["run", "dataset", "method", "reason"]
SHOWN = {"method": "Method", "dataset": "Set", "runs": "Failed runs", "reason": "Why"}


def failures(folder: Path) -> pd.DataFrame:
    """Return a row a failed run; `run` is its folder, such as yan/sccl-last/seed0-2f1b9c3e."""
    rows = []
    for path in sorted(path for path in folder.rglob(FAILED) if path.is_file()):
        run = path.parent.relative_to(folder)
        dataset, method = run.parts[-3:-1] if len(run.parts) > 2 else ("", "")
        reason = path.read_text(errors="replace").strip().splitlines() or [""]
        rows.append([run.as_posix(), dataset, method.partition("-")[0], reason[-1]])
    return pd.DataFrame(rows, columns=COLUMNS)


def keep_failures(folder: Path, table: Path, merge: bool) -> None:
    """Write the failed runs below `folder` beside `table`; with `merge` keep those of others."""
    path, found = failed_table(table), failures(folder)
    for run in found.itertuples():
        print(f"Failed: {run.run}: {run.reason}")
    if merge and path.exists():
        old = pd.read_csv(path)
        others = [not (folder / run).exists() for run in old["run"]]
        found = pd.concat([old[others], found], ignore_index=True)
    if found.empty:
        path.unlink(missing_ok=True)
    else:
        with whole_file(path) as temporary:
            found.sort_values("run").to_csv(temporary, index=False)


def failed_table(table: Path) -> Path:
    """Return where the failed runs of `table` are."""
    return table.with_name(f"{table.stem}_failed.csv")


def failures_by_reason(table: Path) -> pd.DataFrame:
    """Return the failed runs of `table`, a row a method, set and reason; empty without any."""
    path = failed_table(table)
    if not path.exists():
        return pd.DataFrame()
    groups = pd.read_csv(path).groupby(["method", "dataset", "reason"])
    counted = groups.size().reset_index(name="runs").astype(str)
    return counted[list(SHOWN)].rename(columns=SHOWN)


def failed_runs(table: Path) -> Section:
    """Return which runs of `table` failed, and why."""
    failed = failures_by_reason(table)
    return Section("Failed runs", failed, "None is on record." if failed.empty else "")
