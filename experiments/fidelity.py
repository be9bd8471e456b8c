"""Do the methods here do what they do elsewhere? Our ARI beside the paper's and others', on 10X PBMC and Bladder.

python -m experiments fidelity      # results/{table1,fidelity}.csv -> results/fidelity.md
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.runs import OURS, read, reference
from experiments.tables import Section, page
from experiments.text import HERE, write

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


def shown(rows: pd.DataFrame, seeds: pd.Series) -> pd.DataFrame:
    """Return :func:`compared` as texts; `seeds` by set, variant and method."""

    def number(value: float) -> str:
        return "–" if pd.isna(value) else f"{value:.3f}"

    return pd.DataFrame({
        "Set": rows["dataset"] + " " + rows["variant"],
        "Method": [f"{key[-1]} ({seeds[key]})" for key in rows[RUN].itertuples(index=False, name=None)],
        "Ours, label-free": rows["last"].map(number),
        "Ours, epoch by labels †": rows["oracle"].map(number),
        "Paper": rows["paper"].map(number),
        "Third party": rows["others"].map(number),
        "Nearest": [f"{off:.3f} off" + ("" if off <= BAND else ": **not near**") for off in rows["off"]],
    })  # fmt: skip


def headline(metric: str) -> pd.Series:
    """Return by how many percent the paper's JojoSCL is ahead of each of its baselines, and of their mean.

    Ratios of means over the ten sets of the paper's Table I, all numbers the paper's own.
    """
    means = reference().groupby("method")[metric].mean()
    baselines = means.drop(OURS)
    against = pd.concat([pd.Series({"mean of the five": baselines.mean()}), baselines])
    return 100 * (means[OURS] / against - 1)


def shown_headline() -> pd.DataFrame:
    """Return the headline against each baseline, a row each, the largest first."""
    table = pd.DataFrame({metric.upper(): headline(metric) for metric in ("ari", "nmi")})
    table = table.sort_values("ARI", ascending=False).map("{:+.1f} %".format)
    return table.rename_axis("JojoSCL against").reset_index()


def make(results: Path, figures: Path) -> None:
    """Write results/fidelity.md."""
    table = runs(results)
    rows = shown(compared(table), table.groupby(RUN)["seed"].nunique())
    shows = [
        Section(
            "Here and elsewhere", rows, "ARI, mean over (seeds). † The true labels chose the epoch."
        ),
        Section(
            "The paper's headline", shown_headline(), "Ratios of means over the paper's ten sets."
        ),
    ]
    write(results / "fidelity.md", page(shows, results / "fidelity.csv", "fidelity"))
