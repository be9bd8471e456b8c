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

COLUMNS = [
    "experiment", "dataset", "variant", "method", "preset", "seed", "selection", "n_clusters",
    "ari", "nmi", "acc", "seconds", "peak_memory_mb", "python", "git_commit",
]  # fmt: skip


def markdown(runs: pd.DataFrame) -> str:
    """Mean and standard deviation of the scores over seeds."""
    by = ["dataset", "variant", "method", "preset", "selection"]
    lines = [f"| {' | '.join([*by, 'runs', 'ARI', 'NMI'])} |", "|---" * (len(by) + 3) + "|"]
    for names, group in runs.fillna(dict.fromkeys(by, "")).groupby(by):
        scores = [f"{group[name].mean():.3f} +- {group[name].std():.3f}" for name in ("ari", "nmi")]
        lines.append(f"| {' | '.join([*map(str, names), str(len(group)), *scores])} |")
    return "\n".join(lines)


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
    print(f"{len(runs)} rows in {arguments.table}\n\n{markdown(runs)}")


if __name__ == "__main__":
    main()
