"""Our ARI beside the paper's and others', on 10X PBMC and Bladder: do the methods do the same here?

python -m experiments fidelity      # results/{table1,fidelity}.csv -> results/fidelity.md
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from experiments.runs import OURS, read, reference
from experiments.text import HERE, Section, columns, write_page

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
    others = pd.read_csv(HERE / "reference" / "third_party.csv")
    both = reference().merge(others, "left", on=["dataset", "method"], suffixes=("", "_others"))
    names = {"ari": "paper", "ari_others": "others", "method": "row"}
    return both.rename(columns=names)[["dataset", "row", "paper", "others"]]


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return ARI here and elsewhere, and how far the nearest is: a row a set and method."""
    means = table.pivot_table("ari", RUN, "selection").reset_index()
    means = means.reindex(columns=[*RUN, "last", "oracle"]).assign(row=means["method"].map(METHODS))
    rows = means.merge(elsewhere(), "left", on=["dataset", "row"])
    pairs = itertools.product(("last", "oracle"), ("paper", "others"))
    off = [(rows[ours] - rows[theirs]).abs() for ours, theirs in pairs]
    return rows.assign(off=pd.concat(off, axis=1).min(axis=1))


def shown(rows: pd.DataFrame, seeds: pd.Series) -> pd.DataFrame:
    """Return :func:`compared` as texts; `seeds` by set, variant and method."""

    def number(value: float) -> str:
        return "–" if pd.isna(value) else f"{value:.3f}"

    def off(value: float) -> str:
        return f"{value:.3f} off" + ("" if value <= BAND else ": **not near**")

    return columns(rows.assign(set=rows["dataset"] + " " + rows["variant"], runs=[
        f"{key[-1]} ({seeds[key]})" for key in rows[RUN].itertuples(index=False, name=None)
    ]), {
        "set": ("Set", str), "runs": ("Method", str), "last": ("Ours, label-free", number),
        "oracle": ("Ours, epoch by labels †", number), "paper": ("Paper", number),
        "others": ("Third party", number), "off": ("Nearest", off),
    })  # fmt: skip


def headline(metric: str) -> pd.Series:
    """Return by how many percent the paper's JojoSCL is ahead of its baselines and of their mean.

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
    note = "ARI, mean over (seeds). † The true labels chose the epoch."
    ratios = "Ratios of means over the paper's ten sets."
    shows = [
        Section("Here and elsewhere", rows, note),
        Section("The paper's headline", shown_headline(), ratios),
    ]
    write_page(shows, results / "fidelity.csv", "fidelity")
