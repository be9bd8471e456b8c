"""The cosine gap of cells' views against the epoch, with and without SURE, and the weight b_k of its shrinkage.

    jojoscl -m experiment=cosine_gap
    python experiments/shrinkage.py runs/cosine_gap

writes experiments/results/cosine_gap.md, the gap after the last epoch, and experiments/figures/cosine_gap.png, where a
thin line is a seed and a thick one their mean.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure
from studies import cell

from jojoscl.utils.files import whole_file

HERE = Path(__file__).parent


def records(folder: Path) -> pd.DataFrame:
    """All rows of shrinkage.csv of the finished runs below `folder`, with dataset, seed and sure."""
    tables = []
    for path in sorted(folder.rglob("metrics.json")):
        metrics, config = json.loads(path.read_text()), yaml.safe_load((path.parent / "config.yaml").read_text())
        names = {"dataset": metrics["dataset"], "seed": metrics["seed"], "sure": config["method"]["sure"]}
        tables.append(pd.read_csv(path.parent / "shrinkage.csv").assign(**names))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def draw(table: pd.DataFrame, path: Path) -> None:
    """A panel a dataset and quantity."""
    datasets, quantities = sorted(table["dataset"].unique()), {"cosine_gap": "cosine gap", "b": "mean $b_k$"}.items()
    figure = Figure(figsize=(4 * len(datasets), 5), layout="constrained")
    for row, (quantity, words) in zip(figure.subplots(2, len(datasets), squeeze=False), quantities, strict=True):
        for axis, dataset in zip(row, datasets, strict=True):
            chosen = table[(table["dataset"] == dataset) & (table["quantity"] == quantity)]
            for sure, group in chosen.groupby("sure"):
                colour = sorted(table["sure"].unique()).index(sure)
                curves = group.pivot_table("value", "epoch", "seed")
                axis.plot(curves, color=f"C{colour}", linewidth=0.5, alpha=0.5)
                axis.plot(curves.mean(axis=1), color=f"C{colour}", label=f"sure={sure}")
            axis.set(title=dataset, xlabel="epoch", ylabel=words)
            axis.legend(frameon=False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)


def markdown(table: pd.DataFrame) -> str:
    """A row a set, a column a form of SURE: the gap after the last epoch, mean +- sd (number of seeds)."""
    last = table[(table["quantity"] == "cosine_gap") & (table["epoch"] == table["epoch"].max())]
    forms = sorted(last["sure"].unique())
    lines = ["| Set | " + " | ".join(f"sure={form}" for form in forms) + " |", "|---" * (len(forms) + 1) + "|"]
    for dataset, group in last.groupby("dataset"):
        cells = [cell(group.loc[group["sure"] == form, ["value"]]) for form in forms]
        lines.append(f"| {dataset} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--figures", type=Path, default=HERE / "figures")
    arguments = parser.parse_args()
    table = records(arguments.runs)
    if table.empty:
        parser.error(f"there is no finished run below {arguments.runs}")
    text = markdown(table)
    with whole_file(arguments.results / "cosine_gap.md") as path:
        path.write_text(text + "\n")
    draw(table, arguments.figures / "cosine_gap.png")
    print(text)


if __name__ == "__main__":
    main()
