"""Finished runs as one tidy table, one row a run.

    python experiments/collect.py runs/fidelity experiments/results/fidelity.csv
    python experiments/collect.py runs/table1 experiments/results/table1.csv --merge    # grows over several sessions

A run by selection=oracle gives two rows: the epoch that the true labels chose, and its last epoch (selection=last),
which no label touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from jojoscl.runner.sweep import collect
from jojoscl.utils.files import whole_file

PUBLISHED = Path(__file__).parent / "reference" / "paper_table.csv"
COLUMNS = [
    "experiment", "dataset", "variant", "method", "preset", "seed", "selection", "setting", "strength",
    "n_cells", "n_types", "n_clusters", "ari", "nmi", "acc",
    "seconds", "seconds_method", "peak_memory_mb", "python", "git_commit",
]  # fmt: skip


KEYS = COLUMNS[:9]  # one row each


def named(runs: pd.DataFrame) -> pd.DataFrame:
    """With a column `name`, the method and its preset; no variant or preset is an empty word."""
    runs = runs.fillna(dict.fromkeys(["variant", "preset"], ""))
    return runs.assign(name=(runs["method"] + " " + runs["preset"]).str.strip())


def grid(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


def markdown(runs: pd.DataFrame) -> str:
    """A row a dataset and a column a method: ARI / NMI, mean +- sd (number of seeds), beside the published JojoSCL."""
    runs = named(runs)
    runs["column"] = runs["name"].where(runs["selection"] == "last", runs["name"] + ", picked by labels")
    columns = list(dict.fromkeys(runs.sort_values(["method", "selection"])["column"]))
    rows = [
        [f"{dataset} {variant}", published(dataset), *(_cell(group[group["column"] == column]) for column in columns)]
        for (dataset, variant), group in runs.groupby(["dataset", "variant"])
    ]
    return grid(["Set", "Published", *columns], rows)


def _cell(group: pd.DataFrame) -> str:
    if group.empty:
        return "fails"
    scores = [f"{group[name].mean():.3f} +- {group[name].std():.3f}" for name in ("ari", "nmi")]
    return f"{' / '.join(scores)} ({len(group)})"


def reference() -> pd.DataFrame:
    """The paper's Table I: dataset, method, ari, nmi."""
    return pd.read_csv(PUBLISHED)


def published(dataset: str) -> str:
    """ARI / NMI of JojoSCL in the paper's Table I."""
    table = reference().query("dataset == @dataset and method == 'jojoscl'")
    return "-" if table.empty else f"{table['ari'].item():.3f} / {table['nmi'].item():.3f}"


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The rows of `new`, and those of `old` whose run is not among them."""

    def key(table: pd.DataFrame) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(table[KEYS].fillna("").astype(str))

    kept = old[~key(old).isin(key(new))]
    return pd.concat([kept.astype(object), new.astype(object)], ignore_index=True).infer_objects()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--merge", action="store_true", help="keep the table's rows of runs that are not below `runs`")
    arguments = parser.parse_args()
    runs = collect(arguments.runs).reindex(columns=COLUMNS)
    if runs.empty:
        parser.error(f"there is no finished run below {arguments.runs}")
    if arguments.merge and arguments.table.exists():
        runs = merged(pd.read_csv(arguments.table).reindex(columns=COLUMNS), runs)
    runs = runs.sort_values(KEYS)
    with whole_file(arguments.table) as path:
        runs.round(4).to_csv(path, index=False)
    print(f"{len(runs)} rows in {arguments.table}")
    if (unchanged := runs[runs["setting"].isna()]).size:  # the others are for studies.py
        print(f"\n{markdown(unchanged)}")


if __name__ == "__main__":
    main()
