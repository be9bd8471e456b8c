"""Runs that failed, and why: NAME_failed.csv beside NAME.csv, and a table of them on its page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jojoscl.runner.sweep import FAILED
from jojoscl.utils.files import whole_file

COLUMNS = ["run", "dataset", "method", "reason"]


def failures(folder: Path) -> pd.DataFrame:
    """Return a row a run below `folder` that failed; `run` is its folder, such as yan/sccl-last/seed0-2f1b9c3e."""
    rows = []
    for path in sorted(path for path in folder.rglob(FAILED) if path.is_file()):
        run = path.parent.relative_to(folder)
        dataset, method = run.parts[-3:-1] if len(run.parts) > 2 else ("", "")
        reason = path.read_text(errors="replace").strip().splitlines() or [""]
        rows.append([run.as_posix(), dataset, method.partition("-")[0], reason[-1]])
    return pd.DataFrame(rows, columns=COLUMNS)


def keep_failures(folder: Path, table: Path, merge: bool = False) -> pd.DataFrame:
    """Write the failed runs below `folder` beside `table` and return them; with `merge` keep those of other folders."""
    path, found = failed_table(table), failures(folder)
    new = found
    if merge and path.exists():
        old = pd.read_csv(path)
        new = pd.concat(
            [old[[not (folder / run).exists() for run in old["run"]]], new], ignore_index=True
        )
    if new.empty:
        path.unlink(missing_ok=True)
    else:
        with whole_file(path) as temporary:
            new.sort_values("run").to_csv(temporary, index=False)
    return found


def failed_table(table: Path) -> Path:
    """Return where the failed runs of `table` are."""
    return table.with_name(f"{table.stem}_failed.csv")


def failures_by_reason(table: Path) -> pd.DataFrame:
    """Return the failed runs of `table` to be shown, a row a method, set and reason; empty where there is none."""
    path = failed_table(table)
    if not path.exists():
        return pd.DataFrame()
    counted = (
        pd.read_csv(path)
        .groupby(["method", "dataset", "reason"])
        .size()
        .reset_index(name="runs")
        .astype(str)
    )
    names = {"method": "Method", "dataset": "Set", "runs": "Failed runs", "reason": "Why"}
    return counted[list(names)].rename(columns=names)
