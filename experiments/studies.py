"""A study's runs as a table and a figure.

    python -m experiments collect runs/noise experiments/results/noise.csv
    python -m experiments studies noise

reads results/noise.csv and writes noise.md beside it and figures/noise.png; without a name, of
every study that has a CSV. Each run has a `setting` that the study changed and its `strength`; runs
without are the unchanged ones, with which each is compared. A study of many sets is shown by paired
differences, each set one pair.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from experiments import paired_studies
from experiments import runs as table_of_runs
from experiments.failures import failures_by_reason
from experiments.runs import seconds_column
from experiments.tables import failed_runs, page
from experiments.text import by_set, grid, parser, save, write
from jojoscl.runner.config import build, compose, parse
from jojoscl.utils.errors import UserError


@dataclass(frozen=True)
class Study:
    """How a study is drawn: as `bars`, one a point, or as lines over the strength; ARI and NMI, or another value.

    `paired`: by how far the default is ahead of each change, or of each method, over the sets.
    """

    bars: bool = False
    paired: bool = False
    hue: str = "method"  # a colour each
    row: str = "setting, score"  # a row of panels each
    col: str = "dataset"  # a column of panels each
    values: tuple[str, ...] = ("ari", "nmi")
    listed: tuple[str, ...] = ()  # more values, in the table only
    logarithmic: str = ""  # axes, such as "xy"


STUDIES = {
    "ablation": Study(bars=True),
    "ablation_default": Study(paired=True),
    "noise": Study(),
    "downsampling": Study(),
    "sensitivity": Study(hue="dataset", row="score", col="setting", logarithmic="x"),
    "augmentation": Study(hue="setting", row="score"),
    "sure_weight": Study(
        hue="setting",
        row="score",
        values=("ari", "cosine", "dimensions", "origin", "movement"),
        listed=("n_clusters", "b"),
        logarithmic="x",
    ),
    "wandb_ablation": Study(bars=True),
    "unknown_k": Study(paired=True, listed=("n_clusters",)),
    "fast_paths": Study(bars=True, listed=("seconds_method",)),
    "runtime": Study(
        row="score", col="setting", values=("seconds_method", "peak_memory_mb"), logarithmic="xy"
    ),
}


def promised(name: str) -> int:
    """Return how many runs the sweep of ``experiment=name`` has."""
    params = compose([f"experiment={name}"], with_hydra=True).hydra.sweeper.params
    swept = parse(f"{key}={value}" for key, value in params.items())
    return prod(
        sum(1 for _ in each.sweep_string_iterator()) for each in swept if each.is_discrete_sweep()
    )


def read(path: Path) -> pd.DataFrame:
    """Return the runs of the table that ``collect`` made; labels chose nothing in them."""
    needed = (
        "dataset",
        "method",
        "seed",
        "selection",
        "setting",
        "strength",
        "n_types",
        "git_commit",
    )
    runs = table_of_runs.read(path, needed).query("selection == 'last'")
    runs = runs.assign(number=pd.to_numeric(runs["strength"], errors="coerce"))
    return runs.sort_values(["method", "setting", "number"], na_position="first", ignore_index=True)


def unchanged_strength(setting: str, method: str) -> Any:
    """Return what `setting` is where a study leaves it alone, from the configuration."""
    name = setting.rpartition(", ")[2]
    cfg = compose(["data=simulated", f"method={method}"])
    for node in ("method", "corrupt", "data"):
        try:
            return attrgetter(name)(build(cfg[node]))
        except AttributeError:
            continue
    return np.nan


def with_unchanged(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every setting's runs and, as one more strength of each, the unchanged ones; `strength` as numbers."""
    unchanged, changed = runs[runs["setting"].isna()], runs[runs["setting"].notna()]
    parts = [changed]
    for setting, method in changed[["setting", "method"]].drop_duplicates().itertuples(index=False):
        point = {"setting": setting, "strength": unchanged_strength(setting, method)}
        parts.append(unchanged[unchanged["method"] == method].assign(**point))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return table.assign(strength=pd.to_numeric(table["strength"]))


def point_names(runs: pd.DataFrame) -> pd.Series:
    """Return such as "momentum=0.5", and "unchanged"; a setting's null is a gap in a CSV."""
    strength = runs["strength"].map(
        lambda value: f"{value:g}" if isinstance(value, float) else str(value)
    )
    strength = strength.where(runs["strength"].notna(), "null")
    return (runs["setting"].astype(object).fillna("").astype(str) + "=" + strength).where(
        runs["setting"].notna(), "unchanged"
    )


def markdown(runs: pd.DataFrame, values: Sequence[str]) -> str:
    """Return a row a method and point, a column a set; see :func:`~experiments.text.by_set`."""
    table = by_set(runs.assign(point=point_names(runs)), ["method", "point"], values)
    table = table.rename_axis(["Method", "Setting"]).reset_index()
    return grid(table.columns, table.to_numpy())


def with_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """Add a column `variant`: what was changed of the default, or the method's name."""
    points = point_names(runs)
    return runs.assign(variant=points.where(points != "unchanged", runs["method"]))


def exponents(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return the slope of log `value` over log strength by least squares, for each method and setting: 1 is linear.

    Of the median over seeds: the first run of a process also imports libraries.
    """
    rows = []
    for (name, setting), group in runs.dropna(subset=["strength", value]).groupby(
        ["method", "setting"]
    ):
        medians = group.groupby("strength")[value].median()
        if len(medians) > 1:
            slope = np.polyfit(np.log(medians.index), np.log(medians), 1)[0]
            rows.append((name, setting, slope, medians.index[0], medians.index[-1]))
    return pd.DataFrame(rows, columns=["method", "setting", "exponent", "from", "to"])


def exponents_markdown(table: pd.DataFrame) -> str:
    """Return a row a method and setting."""
    rows = [
        [name, setting, f"{slope:.2f}", f"{low:g} - {high:g}"]
        for name, setting, slope, low, high in table.itertuples(index=False)
    ]
    return grid(["Method", "Setting", "Exponent", "Fitted from"], rows)


def draw(runs: pd.DataFrame, study: Study, values: list[str]) -> sns.FacetGrid:
    """Draw one figure; error bars are the standard deviation over seeds."""
    table = runs if study.bars else with_unchanged(runs)
    keys = ["dataset", "method", "setting", "strength", "seed"]
    long = table.melt(keys, values, var_name="score", value_name="value").dropna(subset="value")
    if study.bars:
        long = long.assign(point=point_names(long))
        height = 0.3 * long["point"].nunique() + 1
        rows = "method" if long["method"].nunique() > 1 else None
        facets = sns.catplot(long, kind="bar", x="value", y="point", hue="score", col="dataset", row=rows,
                             errorbar="sd", height=height, aspect=3 / height, margin_titles=True)  # fmt: skip
    else:
        long = long.assign(**{"setting, score": long["setting"] + ", " + long["score"]})
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Calling float on a single"
            )  # the error bar of a single strength
            facets = sns.relplot(long, kind="line", x="strength", y="value", hue=study.hue, col=study.col,
                                 row=study.row, errorbar="sd", err_style="bars", marker="o", height=2.5, aspect=1.3,
                                 facet_kws={"sharex": False, "sharey": "row", "margin_titles": True})  # fmt: skip
    for axis in study.logarithmic:
        facets.set(**{f"{axis}scale": "log"})
    if "x" in study.logarithmic:
        for panel in facets.axes.flat:
            label_strengths(panel)
    facets.set_titles(col_template="{col_name}", row_template="{row_name}")
    facets.set_axis_labels("" if study.bars else "strength", "")
    return facets.tight_layout()


def label_strengths(panel: Axes) -> None:
    """Put a tick at each strength of a logarithmic axis, but not so near the last that labels would overlap.

    A strength of 0 stands left of the others, on a linear piece.
    """
    values = sorted(
        {float(x) for line in panel.get_lines() for x in line.get_xdata() if np.isfinite(x)}
    )
    zero, positive = (
        [value for value in values if value == 0],
        [value for value in values if value > 0],
    )
    if zero:
        panel.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    kept: list[float] = []
    for value in positive:
        if not kept or np.log(value / kept[-1]) > 0.05 * np.log(positive[-1] / positive[0]):
            kept.append(value)
    kept = [*zero, *kept]
    panel.set_xticks(kept, [f"{value:g}" for value in kept], rotation=45)
    panel.set_xticks([], minor=True)


def make(name: str, results: Path, figures: Path) -> None:
    """Write table and figure of one study."""
    source, study = results / f"{name}.csv", STUDIES[name]
    if not source.exists():
        raise UserError(
            f"There is no {source}: run jojoscl -m experiment={name}, then python -m experiments collect runs/{name}."
        )
    runs = read(source)
    values = [
        seconds_column(runs, value) if value.startswith("seconds") else value
        for value in study.values
    ]
    listed = [
        seconds_column(runs, value) if value.startswith("seconds") else value
        for value in study.listed
    ]
    commits = runs["git_commit"].fillna("unknown").str[:7].value_counts()
    made = ", ".join(f"{commit} ({count})" for commit, count in commits.items())
    failed = failures_by_reason(source)
    count = f", {failed['Failed runs'].astype(int).sum()} failed" if len(failed) else ""
    share = f"{len(runs)} of the {promised(name)} runs that `experiment={name}` lists{count}, made at {made}."
    if study.paired:
        runs = with_variants(runs)
        shown = paired_studies.sections(
            runs, values, listed, f"Mean +- sd (number of seeds). {share}"
        )
        write(
            source.with_suffix(".md"),
            page([*shown, failed_runs(source)], source, f"studies {name}"),
        )
        save(paired_studies.draw(runs, values), figures / f"{name}.png", dpi=80)
        return
    text = f"{' / '.join([*listed, *values])}. {share}\n\n{markdown(runs, [*listed, *values])}"
    if "y" in study.logarithmic:
        text += "\n\n" + exponents_markdown(exponents(with_unchanged(runs), values[0]))
    if len(failed):
        text += "\n\n" + grid(failed.columns, failed.to_numpy())
    write(source.with_suffix(".md"), text)
    save(draw(runs, study, values), figures / f"{name}.png", dpi=80)


def main(arguments: Sequence[str]) -> None:
    """Write what was asked for."""
    options = parser("studies", __doc__)
    options.add_argument(
        "studies", nargs="*", choices=[*STUDIES, []], metavar="STUDY", help=", ".join(STUDIES)
    )
    chosen = options.parse_args(arguments)
    for name in chosen.studies or [
        name for name in STUDIES if (chosen.results / f"{name}.csv").exists()
    ]:
        make(name, chosen.results, chosen.figures)
