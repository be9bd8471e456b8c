"""A study's runs as a table and a figure.

    jojoscl -m experiment=noise
    python -m experiments collect runs/noise
    python -m experiments studies noise

reads results/noise.csv and writes noise.md beside it and figures/noise.png; without a name, of
every study that has a CSV. Each run has a `setting` that the study changed and its `strength`; runs
without are the unchanged ones, with which each is compared. A study of many sets is shown by paired
differences, each set one pair.

A study is two files: conf/experiment/NAME.yaml lists what is run, and the head of studies/NAME.md
says how it is drawn (the fields of :class:`Study`).
"""

from __future__ import annotations

import functools
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
import yaml
from matplotlib.axes import Axes

from experiments import paired_studies
from experiments import runs as table_of_runs
from experiments.failures import failed_runs, failures_by_reason
from experiments.text import HERE, by_set, markdown, save, write, write_page
from jojoscl.runner.config import build, compose, parse
from jojoscl.utils.errors import UserError

PAGES = HERE / "studies"
WHICH = "studies; all that have a CSV if not given"
OPTIONS = {"names": {"nargs": "*", "metavar": "NAME", "help": WHICH}}


@dataclass(frozen=True)
class Study:
    """The head of a study's page.

    `question`: what it asks, for the list in docs/results.md. `draw`: `bars`, one a point, `lines`
    over the strength, `paired`, by how far the default is ahead of each change or of each method
    over the sets, or nothing, where the study has a command of its own.
    """

    question: str
    draw: str = ""
    hue: str = "method"  # a colour each
    row: str = "setting, score"  # a row of panels each
    col: str = "dataset"  # a column of panels each
    values: tuple[str, ...] = ("ari", "nmi")
    listed: tuple[str, ...] = ()  # more values, in the table only
    logarithmic: str = ""  # axes, such as "xy"

    @classmethod
    def of(cls, path: Path) -> Study:
        """Return what the head of the page `path` says."""
        head = path.read_text(encoding="utf-8").split("---\n", 2)[1]
        try:
            return cls(**yaml.safe_load(head))
        except TypeError as error:
            raise UserError(f"The head of {path} is no study's: {error}.") from error


@functools.cache
def studies() -> dict[str, Study]:
    """Return all studies by name."""
    return {path.stem: Study.of(path) for path in sorted(PAGES.glob("*.md"))}


def promised(name: str) -> int:
    """Return how many runs the sweep of ``experiment=name`` has."""
    params = compose([f"experiment={name}"], with_hydra=True).hydra.sweeper.params
    swept = parse(f"{key}={value}" for key, value in params.items())
    sweeps = (each for each in swept if each.is_discrete_sweep())
    return prod(len(list(each.sweep_string_iterator())) for each in sweeps)


def read(path: Path) -> pd.DataFrame:
    """Return the runs of the table that ``collect`` made; labels chose nothing in them."""
    needed = (*(name for name in table_of_runs.RUN if name != "variant"), "n_types", "git_commit")
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
    """Return every setting's runs; the unchanged ones are one more strength of each, a number."""
    unchanged, changed = runs[runs["setting"].isna()], runs[runs["setting"].notna()]
    parts = [changed]
    for setting, method in changed[["setting", "method"]].drop_duplicates().itertuples(index=False):
        point = {"setting": setting, "strength": unchanged_strength(setting, method)}
        parts.append(unchanged[unchanged["method"] == method].assign(**point))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return table.assign(strength=pd.to_numeric(table["strength"]))


def point_names(runs: pd.DataFrame) -> pd.Series:
    """Return such as "momentum=0.5", and "unchanged"; a setting's null is a gap in a CSV."""
    texts = [f"{x:g}" if isinstance(x, float) else str(x) for x in runs["strength"]]
    strength = pd.Series(texts, runs.index, dtype=object).where(runs["strength"].notna(), "null")
    changed = runs["setting"].notna()
    names = runs["setting"].where(changed, "").astype(str) + "=" + strength
    return names.where(changed, "unchanged")


def by_point(runs: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Return a row a method and point, a column a set; see :func:`~experiments.text.by_set`."""
    table = by_set(runs.assign(point=point_names(runs)), ["method", "point"], values)
    return table.rename_axis(["Method", "Setting"]).reset_index()


def with_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """Add a column `variant`: what was changed of the default, or the method's name."""
    points = point_names(runs)
    return runs.assign(variant=points.where(points != "unchanged", runs["method"]))


def exponents(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return the slope of log `value` over log strength, for each method and setting: 1 is linear.

    By least squares, of the median over seeds: the first run of a process also imports libraries.
    """
    rows = []
    known = runs.dropna(subset=["strength", value])
    for (name, setting), group in known.groupby(["method", "setting"]):
        medians = group.groupby("strength")[value].median()
        if len(medians) > 1:
            slope = np.polyfit(np.log(medians.index), np.log(medians), 1)[0]
            ends = f"{medians.index[0]:g} - {medians.index[-1]:g}"
            rows.append([name, setting, f"{slope:.2f}", ends])
    return pd.DataFrame(rows, columns=["Method", "Setting", "Exponent", "Fitted from"])


def draw(runs: pd.DataFrame, study: Study) -> sns.FacetGrid:
    """Draw one figure; error bars are the standard deviation over seeds."""
    bars = study.draw == "bars"
    table = runs if bars else with_unchanged(runs)
    keys = ["dataset", "method", "setting", "strength", "seed"]
    long = table.melt(keys, list(study.values), var_name="score", value_name="value")
    facets = (draw_bars if bars else draw_lines)(long.dropna(subset="value"), study)
    for axis in study.logarithmic:
        facets.set(**{f"{axis}scale": "log"})
    if "x" in study.logarithmic:
        for panel in facets.axes.flat:
            label_strengths(panel)
    facets.set_titles(col_template="{col_name}", row_template="{row_name}")
    facets.set_axis_labels("" if bars else "strength", "")
    return facets.tight_layout()


def draw_bars(long: pd.DataFrame, study: Study) -> sns.FacetGrid:
    """Draw a bar a point and score."""
    long = long.assign(point=point_names(long))
    height = 0.3 * long["point"].nunique() + 1
    row = "method" if long["method"].nunique() > 1 else None
    looks = {"errorbar": "sd", "height": height, "aspect": 3 / height, "margin_titles": True}
    axes = {"x": "value", "y": "point", "hue": "score", "col": "dataset", "row": row}
    return sns.catplot(long, kind="bar", **axes, **looks)


def draw_lines(long: pd.DataFrame, study: Study) -> sns.FacetGrid:
    """Draw lines over the strength."""
    long = long.assign(**{"setting, score": long["setting"] + ", " + long["score"]})
    looks = {"errorbar": "sd", "err_style": "bars", "marker": "o", "height": 2.5, "aspect": 1.3}
    axes = {"x": "strength", "y": "value", "hue": study.hue, "col": study.col, "row": study.row}
    share = {"sharex": False, "sharey": "row", "margin_titles": True}
    with warnings.catch_warnings():  # of the error bar of a single strength
        warnings.filterwarnings("ignore", "Calling float on a single")
        return sns.relplot(long, kind="line", **axes, **looks, facet_kws=share)


def label_strengths(panel: Axes) -> None:
    """Put a tick at each strength of a logarithmic axis, but not so near that labels would overlap.

    A strength of 0 stands left of the others, on a linear piece.
    """
    drawn = {float(x) for line in panel.get_lines() for x in line.get_xdata() if np.isfinite(x)}
    positive = sorted(value for value in drawn if value > 0)
    kept = [value for value in drawn if value == 0]
    if kept:
        panel.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    least = 0.05 * np.log(positive[-1] / positive[0])
    for value in positive:
        if not kept or kept[-1] == 0 or np.log(value / kept[-1]) > least:
            kept.append(value)
    panel.set_xticks(kept, [f"{value:g}" for value in kept], rotation=45)
    panel.set_xticks([], minor=True)


def made_of(name: str, runs: pd.DataFrame, failed: pd.DataFrame) -> str:
    """Say how many of a study's runs there are, and which commits made them."""
    commits = runs["git_commit"].fillna("unknown").str[:7].value_counts()
    made = ", ".join(f"{commit} ({count})" for commit, count in commits.items())
    count = f", {failed['Failed runs'].astype(int).sum()} failed" if len(failed) else ""
    return f"{len(runs)} runs (`experiment={name}` lists {promised(name)}){count}, made at {made}."


def make_one(name: str, results: Path, figures: Path) -> None:
    """Write table and figure of one study."""
    source, study = results / f"{name}.csv", studies()[name]
    if not source.exists():
        then = f"python -m experiments collect runs/{name}"
        raise UserError(f"There is no {source}: run jojoscl -m experiment={name}, then {then}.")
    runs, failed = read(source), failures_by_reason(source)
    made, listed = made_of(name, runs, failed), [*study.listed, *study.values]
    if study.draw == "paired":
        runs = with_variants(runs)
        note = f"Mean +- sd (number of seeds). {made}"
        shown = paired_studies.sections(runs, study.values, study.listed, note)
        write_page([*shown, failed_runs(source)], source, f"studies {name}")
        figure = paired_studies.draw(runs, study.values)
    else:
        parts = [f"{' / '.join(listed)}. {made}", markdown(by_point(runs, listed))]
        if "y" in study.logarithmic:
            parts.append(markdown(exponents(with_unchanged(runs), study.values[0])))
        parts += [markdown(failed)] if len(failed) else []
        write(source.with_suffix(".md"), "\n\n".join(parts))
        figure = draw(runs, study)
    save(figure, figures / f"{name}.png", dpi=80)


def make(results: Path, figures: Path, names: Sequence[str] = ()) -> None:
    """Write what was asked for."""
    drawn = [name for name, study in studies().items() if study.draw]
    if unknown := set(names) - set(drawn):
        raise UserError(f"There is no study {min(unknown)}: there are {', '.join(drawn)}.")
    for name in names or [name for name in drawn if (results / f"{name}.csv").exists()]:
        make_one(name, results, figures)
