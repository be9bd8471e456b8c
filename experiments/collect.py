"""Finished runs as one tidy table, one row a run.

    python experiments/collect.py runs/fidelity experiments/results/fidelity.csv

A run by selection=oracle gives two rows: the epoch that the true labels chose, and its last epoch (selection=last),
which no label touched.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from jojoscl.files import whole_file
from jojoscl.sweep import collect

PUBLISHED = Path(__file__).parent / "reference" / "paper_table.csv"
COLUMNS = [
    "experiment", "dataset", "variant", "method", "preset", "seed", "selection", "setting", "strength",
    "n_cells", "n_clusters", "ari", "nmi", "acc", "seconds", "seconds_method", "peak_memory_mb", "python", "git_commit",
]  # fmt: skip


def markdown(runs: pd.DataFrame) -> str:
    """A row a dataset and a column a method: ARI / NMI, mean +- sd (number of seeds), beside the published JojoSCL."""
    runs = runs.fillna(dict.fromkeys(["variant", "preset"], ""))
    names = (runs["method"] + " " + runs["preset"]).str.strip()
    runs = runs.assign(column=names.where(runs["selection"] == "last", names + ", picked by labels"))
    columns = list(dict.fromkeys(runs.sort_values(["method", "selection"])["column"]))
    lines = ["| Set | Published | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for (dataset, variant), group in runs.groupby(["dataset", "variant"]):
        cells = [_cell(group[group["column"] == column]) for column in columns]
        lines.append(f"| {dataset} {variant} | {published(dataset)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(group: pd.DataFrame) -> str:
    if group.empty:
        return "fails"
    scores = [f"{group[name].mean():.3f} +- {group[name].std():.3f}" for name in ("ari", "nmi")]
    return f"{' / '.join(scores)} ({len(group)})"


def published(dataset: str) -> str:
    """ARI / NMI of JojoSCL in the paper's Table I."""
    table = pd.read_csv(PUBLISHED).query("dataset == @dataset and method == 'jojoscl'")
    return "-" if table.empty else f"{table['ari'].item():.3f} / {table['nmi'].item():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("table", type=Path)
    arguments = parser.parse_args()
    runs = collect(arguments.runs).reindex(columns=COLUMNS).sort_values(COLUMNS[:7])
    if runs.empty:
        parser.error(f"there is no finished run below {arguments.runs}")
    with whole_file(arguments.table) as path:
        runs.round(4).to_csv(path, index=False)
    print(f"{len(runs)} rows in {arguments.table}")
    if (unchanged := runs[runs["setting"].isna()]).size:  # the others are for studies.py
        print(f"\n{markdown(unchanged)}")


if __name__ == "__main__":
    main()
