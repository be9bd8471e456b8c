"""Types of uneven size: scores, and which types have a cluster of their own, by share of the cells.

    jojoscl -m experiment=uneven                # each method given K
    jojoscl -m experiment=uneven_unknown_k      # no method given K
    python -m experiments uneven runs/uneven

writes uneven.csv, one row a run, uneven.md beside it and the picture uneven.png. Without a folder
the table is read, not made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns

from experiments import runs as table_of_runs
from experiments.collect import MERGE, keep, tidy
from experiments.collection import HALVES, over_sets
from experiments.failures import failed_runs
from experiments.figures import OTHER, STYLE
from experiments.paired_studies import numbers_found
from experiments.runs import HALF_A, OURS, finished, recorded
from experiments.tables import METRICS, check_scored
from experiments.text import GIVEN, Section, by_set, number, save, write_page
from jojoscl.runner.sweep import reference_of

STUDY = "uneven"
SCORES = ("ari", "nmi", "f1")
IS_GIVEN = {True: "K given", False: "K not given"}
FEWEST = 10  # cells of a type that is counted
FOUND = 0.5  # F1 of the best cluster above which a type is found
SHARES = {"below 1 %": 0.01, "1 to 3 %": 0.03, "3 to 10 %": 0.1, "above 10 %": np.inf}
TITLES = {
    "recall": "Recall of the best cluster",
    "precision": "Precision of the best cluster",
    "found": "Share of the types that are found",
}
PER_DECADE = 3  # points of a line in the picture
APART = 0.02  # decades between the points of two methods, whose intervals would cover each other
SOURCE = f"folder of the runs; results/{STUDY}.csv is read if not given"
OPTIONS = {"source": {"type": Path, "nargs": "?", "help": SOURCE}, "--merge": MERGE}


def gather(folder: Path) -> pd.DataFrame:
    """Return the finished runs below `folder` on uneven types.

    The column `types` holds JSON, a row a type: cells, recall and precision of its best cluster.

    Raises
    ------
    UserError
        There is none.
    """
    of_study = f"setting.astype('str').str.contains({STUDY!r})"
    hint = f"jojoscl -m experiment={STUDY} makes them"
    runs = finished(folder, hint, of="of uneven types", query=of_study)
    return tidy(runs).assign(types=[short(types) for types in recorded(runs, "types")])


def short(types: Sequence[Sequence[float]]) -> str:
    """Return the types of a run as JSON with three decimals."""
    rounded = [[n, *np.round(of_best, 3)] for n, *of_best in types]
    return json.dumps(rounded, separators=(",", ":"))


def read(path: Path) -> pd.DataFrame:
    """Return the runs of a table that :func:`make` wrote; in column `k` whether K was given."""
    runs = table_of_runs.read(path, (*table_of_runs.RUN, "n_types", "types", *SCORES))
    return runs.assign(k=~runs["setting"].str.contains("n_clusters"))


def types_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a type of each run: its `share` of the cells, and what its best cluster has.

    Types with fewer than 10 cells are left out.
    """
    names = ["k", "method", "dataset", "seed"]
    each = runs[names].assign(type=runs["types"].map(json.loads)).explode("type", ignore_index=True)
    best = pd.DataFrame(list(each.pop("type")), columns=["n", "recall", "precision"])
    table = each.join(best)
    table["share"] = table["n"] / table.groupby(names)["n"].transform("sum")
    both = table["recall"] + table["precision"]
    table["f1"] = 2 * table["recall"] * table["precision"] / both
    table["found"] = (table["f1"] > FOUND).astype(float)
    bins = pd.cut(table["share"], [0, *SHARES.values()], labels=list(SHARES), right=False)
    return table.assign(bin=bins)[table["n"] >= FEWEST]


def over_orders(table: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Return the mean over sets of the mean over orders of the mean of each order."""
    for last in (["dataset", "seed"], ["dataset"], []):
        groups = table.groupby([*by, *last], observed=True, sort=False)
        table = groups[list(values)].mean().reset_index()
    return table.set_index(list(by))


def in_order(runs: pd.DataFrame) -> list[tuple[bool, str]]:
    """Return the lines of the tables: K given first, then the methods as in the pictures."""
    place = {name: i for i, name in enumerate(STYLE)}
    known = set(runs[["k", "method"]].itertuples(index=False, name=None))
    return sorted(known, key=lambda line: (not line[0], place.get(line[1], 99)))


def with_means(runs: pd.DataFrame, means: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Return a row a method, with K given and not: its sets and orders, and its `means`.

    `means`: a column each; the index is (k, method).
    """
    lines = in_order(runs)
    counts = runs.groupby(["k", "method"])[["dataset", "seed"]].nunique().astype(str)
    rows = [[f"`{name}`", GIVEN[k], *counts.loc[(k, name)]] for k, name in lines]
    table = pd.DataFrame(rows, columns=["Method", "K", "Sets", "Orders"])
    for title, column in means.items():
        table[title] = [number(column.get(line, np.nan)) for line in lines]
    return table


def at_a_glance(runs: pd.DataFrame) -> Section:
    """Return the mean scores of each method."""
    means = over_orders(runs, ["k", "method"], SCORES).rename(columns=METRICS)
    return Section("At a glance", with_means(runs, means), "Means over sets of means over orders.")


def by_share(runs: pd.DataFrame, types: pd.DataFrame) -> list[Section]:
    """Return the tables of TITLES, by the share of the cells that a type has."""
    means = over_orders(types, ["k", "method", "bin"], list(TITLES))
    sets = types.groupby("bin", observed=False)["dataset"].nunique()
    sizes = types.groupby(["bin", "k", "method"], observed=False).size()
    most = sizes.groupby("bin", observed=False).max()
    listed = ", ".join(f"{name}: {most[name]} ({sets[name]} sets)" for name in SHARES)
    note = (
        f"Of the types with at least {FEWEST} cells, by their share of the cells. The best cluster "
        "of a type is the one with the largest F1; the type is found where this F1 is above "
        f"{number(FOUND).rstrip('0')}. Means over sets of means over orders. Number of such types "
        f"in all orders: {listed}."
    )
    wide = {value: means[value].unstack("bin").reindex(columns=list(SHARES)) for value in TITLES}
    return [Section(TITLES[value], with_means(runs, wide[value]), note) for value in TITLES]


def by_half(runs: pd.DataFrame) -> Section:
    """Return ARI and macro F1 on each half of the sets."""
    halves = runs.assign(half=np.where(runs["dataset"].isin(HALF_A), "A", "B"))
    sets = {half: sorted(group["dataset"].unique()) for half, group in halves.groupby("half")}
    means = over_orders(halves, ["k", "method", "half"], ["ari", "f1"])
    columns = {
        f"{METRICS[score]}, half {half}": means[score].xs(half, level="half")
        for score in ("ari", "f1") for half in sets
    }  # fmt: skip
    listed = "; ".join(f"{half}: {', '.join(names)}" for half, names in sets.items())
    note = f"{HALVES} {listed}."
    return Section("By halves of the sets", with_means(runs, columns), note)


def compared(runs: pd.DataFrame, k: bool) -> list[Section]:
    """Return how the default compares with the other methods over the sets, a table a score."""
    runs = runs[runs["k"] == k]
    shown = []
    for score in SCORES if len(runs) else ():
        means = runs.pivot_table(score, "dataset", "method")
        section = over_sets(means, score, reference_of(means, OURS))
        shown.append(replace(section, title=f"{section.title}, {IS_GIVEN[k]}"))
    return shown


def set_by_set(runs: pd.DataFrame, k: bool) -> list[Section]:
    """Return ARI and macro F1 of each set, a column a method."""
    runs = runs[runs["k"] == k]
    if runs.empty:
        return []
    table = by_set(runs, "method", ["ari", "f1"])
    table = table.loc[[name for _, name in in_order(runs)]].T.reset_index(names="Set")
    title = f"ARI / macro F1 of each set, {IS_GIVEN[k]}"
    return [Section(title, table, "Mean +- sd (number of orders).")]


def made_of(runs: pd.DataFrame) -> Section:
    """Return which commits made the runs."""
    commits = runs["git_commit"].fillna("unknown").str[:7].value_counts().sort_index()
    return Section("Made at", commits.astype(str).rename_axis("Commit").reset_index(name="Runs"))


def draw(types: pd.DataFrame) -> sns.FacetGrid:
    """Draw F1 of the best cluster against the share of the type, a line a method.

    A point is the mean over sets of the types of a bin, with its 95% interval. Methods with fewer
    than half of the sets are left out.
    """
    sets = types.groupby(["k", "method"])["dataset"].transform("nunique")
    types = types[sets >= sets.groupby(types["k"]).transform("max") / 2]
    place = np.floor(PER_DECADE * np.log10(types["share"]))
    binned = types.assign(middle=10 ** ((place + 0.5) / PER_DECADE))
    points = binned.groupby(["k", "method", "dataset", "middle"])["f1"].mean().reset_index()
    points["K"] = points["k"].map(IS_GIVEN)
    names = list(dict.fromkeys(name for _, name in in_order(points)))
    colours, marks = ({name: STYLE.get(name, OTHER)[i] for name in names} for i in (0, 1))
    beside = points["method"].map(names.index) - (len(names) - 1) / 2
    points["middle"] *= 10 ** (APART * beside)
    looks: dict[str, Any] = {"palette": colours, "markers": marks, "dashes": False}
    looks |= {"errorbar": ("ci", 95), "seed": 0, "err_style": "bars", "height": 4, "aspect": 1.1}
    orders = {"hue_order": names, "style_order": names}
    orders["col_order"] = [IS_GIVEN[k] for k in (True, False) if k in set(points["k"])]
    facets = sns.relplot(points, kind="line", x="middle", y="f1", hue="method", style="method",
                         col="K", **orders, **looks)  # fmt: skip
    facets.set(xscale="log", ylim=(0, 1.02))
    for panel in facets.axes.flat:
        ticks = [0.01, 0.03, 0.1, 0.3, 1]
        panel.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
        panel.set_xticks([], minor=True)
    facets.set_titles("{col_name}")
    return facets.set_axis_labels("Share of the cells that the type has", "F1 of its best cluster")


def make(results: Path, figures: Path, source: Path | None = None, merge: bool = False) -> None:
    """Write table, page and picture."""
    table = results / f"{STUDY}.csv"
    if source is not None:
        keep(check_scored(gather(source), table), source, table, merge)
    runs = read(table)
    types = types_of(runs)
    shown = [at_a_glance(runs), *by_share(runs, types), by_half(runs)]
    shown += [*compared(runs, True), *compared(runs, False)]
    if not runs["k"].all():
        shown += [numbers_found(runs[~runs["k"]].assign(variant=runs["method"]))]
    shown += [*set_by_set(runs, True), *set_by_set(runs, False), failed_runs(table), made_of(runs)]
    picture = figures / f"{STUDY}.png"
    save(draw(types), picture, dpi=100)
    what = "F1 of a type's best cluster against its share of the cells"
    write_page(shown, table, STUDY, {picture: what})
