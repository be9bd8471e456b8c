"""What SURE does to the views: their cosine gap by epoch, and the weight b_k of its shrinkage.

    jojoscl -m experiment=cosine_gap
    python -m experiments cosine_gap --runs runs/cosine_gap

writes results/cosine_gap.csv (all epochs) and, from it, results/cosine_gap.md (the gap after the
last epoch) and figures/cosine_gap.png, where a thin line is a seed and a thick one their mean.
Without --runs the CSV is read.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure

from experiments.runs import read
from experiments.text import cell, markdown, save, write
from jojoscl.utils.errors import UserError

OPTIONS = {"--runs": {"type": Path, "help": "folder of the runs; without it the CSV is read"}}
SHOWN = {"cosine_gap": "cosine gap", "b": "mean $b_k$"}


def records(folder: Path) -> pd.DataFrame:
    """Return SHOWN by epoch from shrinkage.csv of the runs below `folder`, and whose they are."""
    tables = []
    for path in sorted(folder.rglob("metrics.json")):
        metrics = json.loads(path.read_text())
        config = yaml.safe_load((path.parent / "config.yaml").read_text())
        table = pd.read_csv(path.parent / "shrinkage.csv")
        table = table[table["quantity"].isin(SHOWN)]
        means = table.groupby(["quantity", "epoch"], as_index=False)["value"].mean()
        names = {"dataset": metrics["dataset"], "seed": metrics["seed"]}
        names["git_commit"] = str(metrics.get("git_commit"))[:10]
        tables.append(means.assign(**names, sure=config["method"]["sure"]))
    if not tables:
        hint = "jojoscl -m experiment=cosine_gap makes them"
        raise UserError(f"There is no finished run below {folder}: {hint}.")
    return pd.concat(tables, ignore_index=True)


def draw(table: pd.DataFrame) -> Figure:
    """Draw a panel a dataset and quantity."""
    datasets, forms = (sorted(table[name].unique()) for name in ("dataset", "sure"))
    figure = Figure(figsize=(4 * len(datasets), 5), layout="constrained")
    panels = figure.subplots(2, len(datasets), squeeze=False)
    for row, (quantity, words) in zip(panels, SHOWN.items(), strict=True):
        for axis, dataset in zip(row, datasets, strict=True):
            chosen = table[(table["dataset"] == dataset) & (table["quantity"] == quantity)]
            for sure, group in chosen.groupby("sure"):
                colour = f"C{forms.index(sure)}"
                curves = group.pivot_table("value", "epoch", "seed")
                axis.plot(curves, color=colour, linewidth=0.5, alpha=0.5)
                axis.plot(curves.mean(axis=1), color=colour, label=f"sure={sure}")
            axis.set(title=dataset, xlabel="epoch", ylabel=words)
            axis.legend(frameon=False)
    return figure


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the :func:`~experiments.text.cell` of the last gap, a row a set, a column a form."""
    last = table[(table["quantity"] == "cosine_gap") & (table["epoch"] == table["epoch"].max())]
    groups = last.groupby(["dataset", "sure"])[["value"]]
    cells = pd.Series({key: cell(group) for key, group in groups}).unstack(fill_value="-")
    return cells.add_prefix("sure=").reset_index(names="Set")


def make(results: Path, figures: Path, runs: Path | None = None) -> None:
    """Write the study's files."""
    source = results / "cosine_gap.csv"
    if runs is not None:
        write(source, records(runs).round(4).to_csv(index=False))
    table = read(source, ("dataset", "seed", "sure", "quantity", "epoch", "value"))
    write(source.with_suffix(".md"), markdown(shown(table)))
    save(draw(table), figures / "cosine_gap.png")
