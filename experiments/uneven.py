"""Types of uneven size: scores, and which types have a cluster of their own, by their share of the cells.

    jojoscl -m experiment=uneven                # each method given K
    jojoscl -m experiment=uneven_unknown_k      # no method given K
    python -m experiments uneven runs/uneven

writes uneven.csv, one row a run, uneven.md beside it and the picture uneven.png. Without a folder
the table is read, not made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns

from experiments import runs as table_of_runs
from experiments.collect import merged, tidy
from experiments.collection import HALVES, over_sets
from experiments.failures import keep_failures
from experiments.figures import OTHER, STYLE
from experiments.paired_studies import numbers_found
from experiments.runs import HALF_A, KEYS, OURS
from experiments.tables import METRICS, Section, check_scored, failed_runs, number, page
from experiments.text import by_set, save, write
from jojoscl.runner.sweep import collect, reference_of
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

STUDY = "uneven"
SCORES = ("ari", "nmi", "f1")
GIVEN = {True: "K given", False: "K not given"}
FEWEST = 10  # cells of a type that is counted
FOUND = 0.5  # F1 of the best cluster above which a type is found
SHARES = {"below 1 %": 0.01, "1 to 3 %": 0.03, "3 to 10 %": 0.1, "above 10 %": np.inf}
PER_DECADE = 3  # points of a line in the picture
APART = 0.02  # decades between the points of two methods, whose intervals would cover each other
OPTIONS = {
    "source": {
        "type": Path,
        "nargs": "?",
        "help": f"folder of the runs; results/{STUDY}.csv is read if not given",
    },
    "--merge": {
        "action": "store_true",
        "help": "keep the table's rows of runs that are not below `source`",
    },
}


def gather(folder: Path) -> pd.DataFrame:
    """Return the finished runs below `folder` on uneven types.

    The column `types` holds JSON, a row a type: cells, and recall and precision of its best cluster.

    Raises
    ------
    UserError
        There is none.
    """
    runs = collect(folder)
    if not runs.empty:
        runs = runs[runs["setting"].astype(str).str.contains(STUDY)]
    if runs.empty:
        raise UserError(
            f"There is no finished run of uneven types below {folder}: "
            f"jojoscl -m experiment={STUDY} makes them."
        )
    types = [
        json.loads((Path(run) / "metrics.json").read_text())["types"] for run in runs["folder"]
    ]
    short = [
        json.dumps([[n, *np.round(of_best, 3)] for n, *of_best in each], separators=(",", ":"))
        for each in types
    ]
    return tidy(runs).assign(types=short).sort_values(KEYS, ignore_index=True).round(4)


def read(path: Path) -> pd.DataFrame:
    """Return the runs of a table that :func:`make` wrote, with a column `k`: whether K was given."""
    runs = table_of_runs.read(path, (*table_of_runs.RUN, "n_types", "types", *SCORES))
    return runs.assign(k=~runs["setting"].str.contains("n_clusters"))


def types_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a type of each run: its `share` of the cells, and what its best cluster has.

    Types with fewer than 10 cells are left out.
    """
    names = ["k", "method", "dataset", "seed"]
    columns = [*names, "n", "recall", "precision"]
    rows = [
        [*key, *each]
        for *key, types in runs[[*names, "types"]].itertuples(index=False)
        for each in json.loads(types)
    ]
    table = pd.DataFrame(rows, columns=columns)
    table["share"] = table["n"] / table.groupby(names)["n"].transform("sum")
    both = table["recall"] + table["precision"]
    table["f1"] = 2 * table["recall"] * table["precision"] / both
    table["found"] = (table["f1"] > FOUND).astype(float)
    bins = pd.cut(table["share"], [0, *SHARES.values()], labels=list(SHARES), right=False)
    return table.assign(bin=bins)[table["n"] >= FEWEST]


def over_orders(table: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Return the mean over sets of the mean over orders of the mean of each order."""
    for last in (["dataset", "seed"], ["dataset"], []):
        table = (
            table.groupby([*by, *last], observed=True, sort=False)[list(values)]
            .mean()
            .reset_index()
        )
    return table.set_index(list(by))


def in_order(runs: pd.DataFrame) -> list[tuple[bool, str]]:
    """Return the lines of the tables: K given first, then the methods in the order of the pictures."""
    place = list(STYLE)
    known = set(runs[["k", "method"]].itertuples(index=False, name=None))
    return sorted(
        known, key=lambda line: (not line[0], place.index(line[1]) if line[1] in place else 99)
    )


def lines(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what stands before the numbers: the method, K given or not, how many sets and orders."""
    counts = runs.groupby(["k", "method"])[["dataset", "seed"]].nunique().astype(str)
    rows = [
        [f"`{name}`", "given" if k else "finds", *counts.loc[(k, name)]]
        for k, name in in_order(runs)
    ]
    return pd.DataFrame(rows, columns=["Method", "K", "Sets", "Orders"])


def with_means(runs: pd.DataFrame, columns: dict[str, pd.Series]) -> pd.DataFrame:
    """Return :func:`lines` and a column for each of `columns`, whose index is (k, method)."""
    table = lines(runs)
    for title, means in columns.items():
        table[title] = [number(means.get(line, np.nan)) for line in in_order(runs)]
    return table


def at_a_glance(runs: pd.DataFrame) -> Section:
    """Return the mean scores of each method."""
    means = over_orders(runs, ["k", "method"], SCORES)
    table = with_means(runs, {METRICS[score]: means[score] for score in SCORES})
    return Section("At a glance", table, "Means over sets of means over orders.")


def by_share(runs: pd.DataFrame, types: pd.DataFrame) -> list[Section]:
    """Return recall, precision and share found, a table each, by the share of the cells that a type has."""
    means = over_orders(types, ["k", "method", "bin"], ["recall", "precision", "found"])
    sets = types.groupby("bin", observed=False)["dataset"].nunique()
    each = (
        types.groupby(["bin", "k", "method"], observed=False).size().groupby("bin", observed=False)
    )
    listed = ", ".join(f"{name}: {each.max()[name]} ({sets[name]} sets)" for name in SHARES)
    note = (
        f"Of the types with at least {FEWEST} cells, by their share of the cells. The best cluster of a type is the "
        f"one with the largest F1; the type is found where this F1 is above {number(FOUND).rstrip('0')}. Means over "
        f"sets of means over orders. Number of such types in all orders: {listed}."
    )
    titles = {
        "recall": "Recall of the best cluster",
        "precision": "Precision of the best cluster",
        "found": "Share of the types that are found",
    }
    shown = []
    for value, title in titles.items():
        wide = means[value].unstack("bin").reindex(columns=list(SHARES))
        shown.append(Section(title, with_means(runs, {name: wide[name] for name in wide}), note))
    return shown


def by_half(runs: pd.DataFrame) -> Section:
    """Return ARI and macro F1 on each half of the sets."""
    halves = runs.assign(half=np.where(runs["dataset"].isin(HALF_A), "A", "B"))
    means = over_orders(halves, ["k", "method", "half"], ["ari", "f1"])
    columns = {
        f"{METRICS[score]}, half {half}": means[score].xs(half, level="half")
        for score in ("ari", "f1")
        for half in ("A", "B")
        if half in means.index.get_level_values("half")
    }
    sets = {half: sorted(group["dataset"].unique()) for half, group in halves.groupby("half")}
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
        shown.append(replace(section, title=f"{section.title}, {GIVEN[k]}"))
    return shown


def set_by_set(runs: pd.DataFrame, k: bool) -> list[Section]:
    """Return ARI and macro F1 of each set, a column a method."""
    runs = runs[runs["k"] == k]
    if runs.empty:
        return []
    table = by_set(runs, "method", ["ari", "f1"])
    table = table.loc[[name for _, name in in_order(runs)]].T.reset_index(names="Set")
    note = "Mean +- sd (number of orders)."
    return [Section(f"ARI / macro F1 of each set, {GIVEN[k]}", table, note)]


def made_of(runs: pd.DataFrame) -> Section:
    """Return which commits made the runs."""
    commits = runs["git_commit"].fillna("unknown").str[:7].value_counts().sort_index()
    table = pd.DataFrame({"Commit": commits.index, "Runs": commits.astype(str)})
    return Section("Made at", table, "")


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
    points["K"] = points["k"].map(GIVEN)
    names = list(dict.fromkeys(name for _, name in in_order(points)))
    styles = {name: STYLE.get(name, OTHER) for name in names}
    beside = points["method"].map(names.index) - (len(names) - 1) / 2
    points["middle"] *= 10 ** (APART * beside)
    facets = sns.relplot(points, kind="line", x="middle", y="f1", hue="method", hue_order=names, style="method",
                         style_order=names, palette={name: style[0] for name, style in styles.items()},
                         markers={name: style[1] for name, style in styles.items()}, dashes=False, col="K",
                         col_order=[GIVEN[k] for k in (True, False) if k in set(points["k"])],
                         errorbar=("ci", 95), seed=0, err_style="bars", height=4, aspect=1.1)  # fmt: skip
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
        rows = check_scored(gather(source), table)
        if merge and table.exists():
            rows = merged(pd.read_csv(table, dtype={"git_commit": str}), rows).sort_values(KEYS)
        with whole_file(table) as temporary:
            rows.to_csv(temporary, index=False)
        keep_failures(source, table, merge)
        print(f"{len(rows)} rows in {table}")
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
    write(table.with_suffix(".md"), page(shown, table, STUDY, {picture: what}))
