"""A study's runs as a table and a figure.

    python experiments/collect.py runs/noise experiments/results/noise.csv
    python experiments/studies.py noise

reads experiments/results/noise.csv and writes noise.md beside it and experiments/figures/noise.png. Each run has a
`setting` that the study changed and its `strength`; runs without are the unchanged ones, with which each is compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from figures import save
from matplotlib.axes import Axes
from omegaconf import OmegaConf

from jojoscl.runner.config import compose
from jojoscl.utils.files import whole_file

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Study:
    """How a study is drawn: as `bars`, one a point, or as lines over the strength; ARI and NMI, or another value."""

    bars: bool = False
    hue: str = "name"  # a colour each
    row: str = "setting, score"  # a row of panels each
    col: str = "dataset"  # a column of panels each
    values: tuple[str, ...] = ("ari", "nmi")
    listed: tuple[str, ...] = ()  # more values, in the table only
    logarithmic: str = ""  # axes, such as "xy"


STUDIES = {
    "ablation": Study(bars=True),
    "ablation_default": Study(bars=True),
    "noise": Study(),
    "downsampling": Study(),
    "sensitivity": Study(hue="dataset", row="score", col="setting", logarithmic="x"),
    "augmentation": Study(hue="setting", row="score"),
    "unknown_k": Study(bars=True, listed=("n_clusters",)),
    "fast_paths": Study(bars=True, listed=("seconds_method",)),
    "runtime": Study(row="score", col="setting", values=("seconds_method", "peak_memory_mb"), logarithmic="xy"),
}


def read(path: Path) -> pd.DataFrame:
    """Runs of the table that :mod:`collect` made, with a `name` for each method; labels chose nothing in them."""
    runs = pd.read_csv(path).query("selection == 'last'")
    names = runs["method"] + " " + runs["preset"].fillna("")
    runs = runs.assign(
        name=names.str.strip().str.replace("jojoscl default", "jojoscl"),
        number=pd.to_numeric(runs["strength"], errors="coerce"),
    )
    return runs.sort_values(["name", "setting", "number"], na_position="first", ignore_index=True)


def unchanged_strength(setting: str, method: str, preset: str | None) -> Any:
    """What `setting` is where a study leaves it alone, from the configuration."""
    overrides = [f"preset={preset}"] if isinstance(preset, str) else [f"method={method}"]
    cfg = compose(["data=simulated", *overrides])
    name = setting.rpartition(", ")[2]
    found = (OmegaConf.select(cfg[node], name) for node in ("method", "corrupt", "data"))
    return next((value for value in found if value is not None), np.nan)


def with_unchanged(runs: pd.DataFrame) -> pd.DataFrame:
    """Every setting's runs and, as one more strength of each, the unchanged ones; `strength` as numbers."""
    unchanged, changed = runs[runs["setting"].isna()], runs[runs["setting"].notna()]
    parts = [changed]
    for (setting, method), group in changed.groupby(["setting", "method"]):
        for preset in group["preset"].unique():
            same = unchanged["preset"].isna() if pd.isna(preset) else unchanged["preset"] == preset
            point = {"setting": setting, "strength": unchanged_strength(str(setting), str(method), preset)}
            parts.append(unchanged[same & (unchanged["method"] == method)].assign(**point))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return table.assign(strength=pd.to_numeric(table["strength"]))


def point_names(runs: pd.DataFrame) -> pd.Series:
    """Such as "momentum=0.5", and "unchanged"."""
    strength = runs["strength"].map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
    return (runs["setting"].fillna("").astype(str) + "=" + strength).where(runs["setting"].notna(), "unchanged")


def markdown(runs: pd.DataFrame, values: Sequence[str]) -> str:
    """A row a method and point, a column a set: such as ARI / NMI, mean +- sd (number of seeds).

    Of several sets their mean too, where a method and point have all of them.
    """
    runs = runs.assign(point=point_names(runs))
    sets = sorted(runs["dataset"].unique())
    types = runs.groupby("dataset")["n_types"].first().map("{:.0f} types".format)
    header = [f"{dataset} ({types[dataset]})" for dataset in sets] + ["mean"] * (len(sets) > 1)
    lines = ["| Method | Setting | " + " | ".join(header) + " |", "|---" * (len(header) + 2) + "|"]
    for (name, point), group in runs.groupby(["name", "point"], sort=False):
        cells = [cell(group.loc[group["dataset"] == dataset, list(values)]) for dataset in sets]
        if len(sets) > 1:
            means = group.groupby("dataset")[list(values)].mean()
            cells.append(" / ".join(map("{:.3f}".format, means.mean())) if len(means) == len(sets) else "-")
        lines.append(f"| {name} | {point} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(scores: pd.DataFrame) -> str:
    """Mean of each column, +- sd where there are several rows, and their number."""
    if scores.empty:
        return "-"
    spread = scores.std().map(lambda sd: "" if np.isnan(sd) else f" +- {sd:.3f}")
    return " / ".join(f"{mean:.3f}{sd}" for mean, sd in zip(scores.mean(), spread, strict=True)) + f" ({len(scores)})"


def exponents(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Slope of log `value` over log strength by least squares, for each method and setting: 1 is linear.

    Of the median over seeds: the first run of a process also imports libraries.
    """
    rows = []
    for (name, setting), group in runs.dropna(subset=["strength", value]).groupby(["name", "setting"]):
        medians = group.groupby("strength")[value].median()
        if len(medians) > 1:
            slope = np.polyfit(np.log(medians.index), np.log(medians), 1)[0]
            rows.append((name, setting, slope, medians.index[0], medians.index[-1]))
    return pd.DataFrame(rows, columns=["name", "setting", "exponent", "from", "to"])


def exponents_markdown(table: pd.DataFrame) -> str:
    """A row a method and setting."""
    rows = [
        f"| {name} | {setting} | {slope:.2f} | {low:g} - {high:g} |" for name, setting, slope, low, high in table.values
    ]
    return "\n".join(["| Method | Setting | Exponent | Fitted from |", "|---|---|---|---|", *rows])


def draw(runs: pd.DataFrame, study: Study) -> sns.FacetGrid:
    """One figure; error bars are the standard deviation over seeds."""
    table = runs if study.bars else with_unchanged(runs)
    keys = ["dataset", "name", "setting", "strength", "seed"]
    long = table.melt(keys, study.values, var_name="score", value_name="value").dropna(subset="value")
    if study.bars:
        long = long.assign(point=point_names(long))
        height = 0.3 * long["point"].nunique() + 1
        rows = "name" if long["name"].nunique() > 1 else None
        grid = sns.catplot(long, kind="bar", x="value", y="point", hue="score", col="dataset", row=rows, errorbar="sd",
                           height=height, aspect=3 / height, margin_titles=True)  # fmt: skip
    else:
        long = long.assign(**{"setting, score": long["setting"] + ", " + long["score"]})
        grid = sns.relplot(long, kind="line", x="strength", y="value", hue=study.hue, col=study.col, row=study.row,
                           errorbar="sd", err_style="bars", marker="o", height=2.5, aspect=1.3,
                           facet_kws={"sharex": False, "sharey": "row", "margin_titles": True})  # fmt: skip
    for axis in study.logarithmic:
        grid.set(**{f"{axis}scale": "log"})
    if "x" in study.logarithmic:
        for panel in grid.axes.flat:
            label_strengths(panel)
    grid.set_titles(col_template="{col_name}", row_template="{row_name}")
    grid.set_axis_labels("" if study.bars else "strength", "")
    return grid.tight_layout()


def label_strengths(panel: Axes) -> None:
    """A tick at each strength of a logarithmic axis, but not so near the last that labels would overlap."""
    values = sorted({float(x) for line in panel.get_lines() for x in line.get_xdata() if np.isfinite(x)})
    kept: list[float] = []
    for value in values:
        if not kept or np.log(value / kept[-1]) > 0.05 * np.log(values[-1] / values[0]):
            kept.append(value)
    panel.set_xticks(kept, [f"{value:g}" for value in kept], rotation=45)
    panel.set_xticks([], minor=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--figures", type=Path, default=HERE / "figures")
    arguments = parser.parse_args()
    source, study = arguments.results / f"{arguments.study}.csv", STUDIES[arguments.study]
    if not source.exists():
        parser.error(f"there is no {source}: run jojoscl -m experiment={arguments.study}, then experiments/collect.py")
    mpl.use("Agg")
    runs = read(source)
    text = markdown(runs, (*study.listed, *study.values))
    if "y" in study.logarithmic:
        text += "\n\n" + exponents_markdown(exponents(with_unchanged(runs), study.values[0]))
    with whole_file(source.with_suffix(".md")) as path:
        path.write_text(text + "\n")
    arguments.figures.mkdir(parents=True, exist_ok=True)
    print(f"{text}\n\n{source.with_suffix('.md')}")
    save(draw(runs, study), arguments.figures / f"{arguments.study}.png", dpi=80)


if __name__ == "__main__":
    main()
