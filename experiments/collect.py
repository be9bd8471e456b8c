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
from experiments.runs import AS_TEXT, KEYS, RUN, finished
from experiments.spread import SPREAD, of_run
from jojoscl.utils.files import whole_file

COLUMNS = [
    *KEYS, "n_cells", "n_types", "n_clusters", "ari", "nmi", "acc", "f1",
    "seconds", "seconds_method", "peak_memory_mb", "python", "git_commit", "machine",
]  # fmt: skip
MERGE = {"action": "store_true", "help": "keep the rows of runs that are not in the folder"}
OPTIONS = {
    "runs": {"type": Path, "help": "folder of the runs"},
    "table": {"type": Path, "nargs": "?", "help": "CSV; results/NAME.csv of a folder NAME"},
    "--merge": MERGE,
    "--spread": {"action": "store_true", "help": "add how far the cells of a run are apart"},
}


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the committed tables; those of spread only where `runs` has any."""
    return runs.reindex(columns=[*COLUMNS, *(name for name in SPREAD if name in runs)])


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `new`, and those of `old` whose run `new` lacks, of any experiment."""

    def key(table: pd.DataFrame) -> pd.MultiIndex:
        # A setting's null is the word None in a row of a run, and a gap in a CSV.
        texts = table[RUN].map(lambda value: "" if pd.isna(value) or value == "None" else value)
        return pd.MultiIndex.from_frame(texts.astype(str))

    kept = old[~key(old).isin(key(new))]
    return pd.concat([kept.astype(object), new.astype(object)], ignore_index=True).infer_objects()


def keep(rows: pd.DataFrame, folder: Path, table: Path, merge: bool) -> None:
    """Write `rows`, of the runs in `folder`, to `table`, and what failed there beside it."""
    if merge and table.exists():
        rows = merged(pd.read_csv(table, dtype=AS_TEXT), rows)
    with whole_file(table) as path:
        rows.sort_values(KEYS).round(4).to_csv(path, index=False)
    print(f"{len(rows)} rows in {table}")
    keep_failures(folder, table, merge)


def make(
    results: Path,
    figures: Path,
    runs: Path,
    table: Path | None = None,
    merge: bool = False,
    spread: bool = False,
) -> None:
    """Write the table of the runs below a folder."""
    found = finished(runs, "give the folder of a sweep")
    if spread:
        numbers = [of_run(Path(folder)) for folder in found["folder"]]
        found = found.join(pd.DataFrame(numbers, index=found.index))
    keep(tidy(found), runs, table or results / f"{runs.name}.csv", merge)
