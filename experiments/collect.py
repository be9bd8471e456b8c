"""Finished runs as one tidy table, one row a run.

    python -m experiments collect runs/noise            # into results/noise.csv
    python -m experiments collect runs/table1 --merge   # grows over several sessions
    python -m experiments collect runs/sure_weight --spread

A run by selection=oracle gives two rows: the epoch that the true labels chose, and its last epoch
(selection=last), which no label touched. Runs that failed go into NAME_failed.csv beside the table.
--spread adds what the embeddings look like (spread.py).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.failures import keep_failures
from experiments.runs import COLUMNS, KEYS, RUN
from experiments.spread import SPREAD, of_run
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

OPTIONS = {
    "runs": {"type": Path, "help": "folder of the runs"},
    "table": {
        "type": Path,
        "nargs": "?",
        "help": "results/NAME.csv if not given, NAME that of the folder",
    },
    "--merge": {
        "action": "store_true",
        "help": "keep the table's rows of runs that are not below `runs`",
    },
    "--spread": {
        "action": "store_true",
        "help": "add how far the cells of each embedding are apart",
    },
}


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """Return `runs` with the columns of the committed tables; those of spread only where it has any."""
    return runs.reindex(columns=[*COLUMNS, *(name for name in SPREAD if name in runs)])


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `new`, and those of `old` whose run is not among them, whatever the experiment."""

    def key(table: pd.DataFrame) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(
            # A setting's null is the word None in a row of a run, and a gap in a CSV.
            table[RUN].map(lambda value: "" if pd.isna(value) or value == "None" else str(value))
        )

    kept = old[~key(old).isin(key(new))]
    return pd.concat([kept.astype(object), new.astype(object)], ignore_index=True).infer_objects()


def make(
    results: Path,
    figures: Path,
    runs: Path,
    table: Path | None = None,
    merge: bool = False,
    spread: bool = False,
) -> None:
    """Write the table of the runs below a folder."""
    table = table or results / f"{runs.name}.csv"
    found = collect(runs)
    if found.empty:
        raise UserError(f"There is no finished run below {runs}: give the folder of a sweep.")
    if spread:
        numbers = [of_run(Path(folder)) for folder in found["folder"]]
        found = found.join(pd.DataFrame(numbers, index=found.index))
    rows = tidy(found)
    if merge and table.exists():
        rows = merged(tidy(pd.read_csv(table, dtype={"git_commit": str})), rows)
    rows = tidy(rows.sort_values(KEYS))
    with whole_file(table) as path:
        rows.round(4).to_csv(path, index=False)
    keep_failures(runs, table, merge)
    print(f"{len(rows)} rows in {table}")
