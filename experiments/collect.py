"""Finished runs as one tidy table, one row a run.

    python -m experiments collect runs/fidelity experiments/results/fidelity.csv
    python -m experiments collect runs/table1 experiments/results/table1.csv --merge    # grows over several sessions
    python -m experiments collect runs/sure_weight experiments/results/sure_weight.csv --spread
    python -m experiments collect runs/wandb_ablation experiments/results/wandb_ablation.csv --wandb

A run by selection=oracle gives two rows: the epoch that the true labels chose, and its last epoch
(selection=last), which no label touched. Runs that failed go into NAME_failed.csv beside the table.
--spread adds what the embeddings look like (spread.py). --wandb reads the offline files that
logger=wandb left, in place of the runs' own (wandb_files.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.failures import keep_failures
from experiments.runs import COLUMNS, KEYS, OLD_CLOCK, published, told
from experiments.spread import SPREAD, spread
from experiments.text import cell, grid, parser
from experiments.wandb_files import collect_wandb
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file


def markdown(runs: pd.DataFrame) -> str:
    """Return a table, a row a dataset and a column a method: ARI / NMI, mean +- sd (seeds), beside the published."""
    runs = told(runs)
    runs = runs.assign(
        column=runs["method"].where(
            runs["selection"] == "last", runs["method"] + ", picked by labels"
        )
    )
    columns = list(dict.fromkeys(runs.sort_values(["method", "selection"])["column"]))
    rows = [
        [
            f"{dataset} {variant}".strip(),
            " / ".join(map("{:.3f}".format, published(dataset).values())) or "-",
            *(cell(group.loc[group["column"] == column, ["ari", "nmi"]]) for column in columns),
        ]
        for (dataset, variant), group in runs.groupby(["dataset", "variant"])
    ]
    return grid(["Set", "Published", *columns], rows)


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """Return `runs` with the columns of the committed tables; of the old clock and of spread only where it has any."""
    return runs.reindex(
        columns=[*COLUMNS, *(name for name in (*OLD_CLOCK, *SPREAD) if name in runs)]
    )


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `new`, and those of `old` whose run is not among them."""

    def key(table: pd.DataFrame) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(
            table[KEYS].map(lambda value: "" if pd.isna(value) else str(value))
        )

    kept = old[~key(old).isin(key(new))]
    return pd.concat([kept.astype(object), new.astype(object)], ignore_index=True).infer_objects()


def main(arguments: Sequence[str]) -> None:
    """Write the table of the runs below a folder."""
    options = parser("collect", __doc__)
    options.add_argument("runs", type=Path)
    options.add_argument("table", type=Path)
    options.add_argument(
        "--merge",
        action="store_true",
        help="keep the table's rows of runs that are not below `runs`",
    )
    options.add_argument(
        "--spread", action="store_true", help="add how far the cells of each embedding are apart"
    )
    options.add_argument(
        "--wandb", action="store_true", help="read W&B's offline files in place of the runs' own"
    )
    chosen = options.parse_args(arguments)
    found = collect_wandb(chosen.runs) if chosen.wandb else collect(chosen.runs)
    if chosen.spread and not found.empty:
        found = found.join(
            pd.DataFrame([spread(Path(folder)) for folder in found["folder"]], index=found.index)
        )
    runs = tidy(found)
    if runs.empty:
        raise UserError(
            f"There is no finished run below {chosen.runs}: give the folder of a sweep."
        )
    if chosen.merge and chosen.table.exists():
        runs = merged(tidy(pd.read_csv(chosen.table, dtype={"git_commit": str})), runs)
    runs = tidy(runs.sort_values(KEYS))
    with whole_file(chosen.table) as path:
        runs.round(4).to_csv(path, index=False)
    keep_failures(chosen.runs, chosen.table, chosen.merge)
    print(f"{len(runs)} rows in {chosen.table}")
    if (unchanged := runs[runs["setting"].isna()]).size:  # the others are for `studies`
        print(f"\n{markdown(unchanged)}")
