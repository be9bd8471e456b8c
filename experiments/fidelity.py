"""Do the methods here do what they do elsewhere? Our ARI beside the paper's and others', on 10X PBMC and Bladder.

python -m experiments fidelity      # results/{table1,fidelity}.csv -> results/fidelity.md
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.runs import read, reference
from experiments.text import HERE, grid, parser, write

SETS = ("pbmc_10x", "bladder")
METHODS = {  # ours: the published row
    "jojoscl_released": "jojoscl",
    **{name: name for name in ("seurat", "sczidesk", "scdeepcluster", "contrastive_sc", "sccl")},
}
BAND = 0.08  # how far from what is known elsewhere is near
RUN = ["dataset", "variant", "method"]


def runs(results: Path) -> pd.DataFrame:
    """Return all runs of the two sets; where both tables have a run, that of the first."""
    tables = [read(results / name) for name in ("fidelity.csv", "table1.csv")]
    table = pd.concat(tables, ignore_index=True).drop_duplicates([*RUN, "seed", "selection"])
    return table[table["dataset"].isin(SETS) & table["method"].isin(METHODS)]


def elsewhere() -> pd.DataFrame:
    """Return dataset, method and ARI: `paper`, and `others` where a third party measured it."""
    paper = reference().rename(columns={"ari": "paper", "method": "row"})
    others = pd.read_csv(HERE / "reference" / "third_party.csv").rename(
        columns={"ari": "others", "method": "row"}
    )
    keys = ["dataset", "row"]
    return paper[[*keys, "paper"]].merge(others[[*keys, "others"]], "left", on=keys)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a set and method: ARI at the last epoch and by the oracle, elsewhere, and how far the nearest is."""
    means = (
        table.pivot_table("ari", RUN, "selection")
        .reset_index()
        .reindex(columns=[*RUN, "last", "oracle"])
    )
    rows = means.assign(row=means["method"].map(METHODS)).merge(
        elsewhere(), "left", on=["dataset", "row"]
    )
    off = [
        (rows[ours] - rows[theirs]).abs()
        for ours in ("last", "oracle")
        for theirs in ("paper", "others")
    ]
    return rows.assign(off=pd.concat(off, axis=1).min(axis=1))


def markdown(rows: pd.DataFrame, seeds: pd.Series) -> str:
    """Return the table of :func:`compared`; `seeds` by set, variant and method."""
    header = [
        "Set",
        "Method",
        "Ours, label-free",
        "Ours, epoch by labels †",
        "Paper",
        "Third party",
        "Nearest",
    ]

    def shown(value: float) -> str:
        return "–" if pd.isna(value) else f"{value:.3f}"

    lines = [
        [
            f"{row.dataset} {row.variant}",
            f"{row.method} ({seeds[row.dataset, row.variant, row.method]})",
            *map(shown, (row.last, row.oracle, row.paper, row.others)),
            f"{row.off:.3f} off" + ("" if row.off <= BAND else ": **not near**"),
        ]
        for row in rows.itertuples(index=False)
    ]
    return grid(header, lines)


def main(arguments: Sequence[str]) -> None:
    """Write results/fidelity.md."""
    results = parser("fidelity", __doc__).parse_args(arguments).results
    table = runs(results)
    write(results / "fidelity.md", markdown(compared(table), table.groupby(RUN)["seed"].nunique()))
