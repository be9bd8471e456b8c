"""A study of many sets: how far the default is ahead of each variant, each set one pair.

A variant is the default with one change, or another method. Runs have a column `variant`: what was
changed, or the method's name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns

from experiments.collection import over_sets
from experiments.runs import OURS
from experiments.tables import METRICS
from experiments.text import Section, by_set

TITLES = {**METRICS, "n_clusters": "Clusters"}
NEAR = 1.25  # a number of clusters that is off by a smaller factor


def sections(
    runs: pd.DataFrame, values: Sequence[str], listed: Sequence[str], note: str
) -> list[Section]:
    """Return the page of a study of many sets."""
    tables = {value: runs.pivot_table(value, "dataset", "variant", sort=False) for value in values}
    what = "method" if runs["method"].nunique() > 1 else "change"
    shown = [over_sets(table, value, OURS, what) for value, table in tables.items()]
    shown += [numbers_found(runs)] if "n_clusters" in listed else []
    title = " / ".join(TITLES[value] for value in (*listed, *values))
    table = by_set(runs, "variant", [*listed, *values]).T.reset_index(names="Set")
    return [*shown, Section(title, table, note)]


def numbers_found(runs: pd.DataFrame) -> Section:
    """Return how near the number of clusters comes to that of the types, a row a method."""
    means = runs.groupby(["variant", "dataset"], sort=False)[["n_clusters", "n_types"]].mean()
    ratio = means["n_clusters"] / means["n_types"]
    rows = []
    for name, ratios in ratio.groupby("variant", sort=False):
        factors = np.exp(np.log(ratios).abs())
        off = (ratios <= 1 / NEAR), (factors < NEAR), (ratios >= NEAR)
        counts = " / ".join(str(int(which.sum())) for which in off)
        ends = f"{factors.median():.2f}", f"{factors.max():.2f}"
        rows.append([name, str(len(ratios)), *ends, counts])
    header = ["Method", "Sets", "Median factor", "Largest factor", "Too few / near / too many"]
    note = (
        "The factor between clusters found and annotated types, means over seeds; near is below "
        f"{NEAR}."
    )
    return Section("Number of clusters found", pd.DataFrame(rows, columns=header), note)


def draw(runs: pd.DataFrame, values: Sequence[str]) -> sns.FacetGrid:
    """Draw each variant's scores minus the default's: a dot a set, their mean and 95% interval."""
    means = runs.groupby(["dataset", "variant"], sort=False)[list(values)].mean()
    differences = means.drop(OURS, level="variant") - means.xs(OURS, level="variant")
    long = differences.rename(columns=TITLES).reset_index()
    long = long.melt(["dataset", "variant"], var_name="score", value_name="difference")
    variants = long["variant"].unique()
    height = 0.4 * len(variants) + 1
    place = {"x": "difference", "y": "variant", "order": variants}
    size = {"height": height, "aspect": 5 / height}
    dots = {"jitter": False, "color": "tab:blue", "alpha": 0.4}
    facets = sns.catplot(long, kind="strip", **place, col="score", **dots, **size)
    looks = {"color": "k", "marker": "D", "markersize": 5, "linestyle": "none", "zorder": 3}
    interval = {"errorbar": ("ci", 95), "seed": 0, "err_kws": {"linewidth": 1.5}}
    facets.map_dataframe(sns.pointplot, **place, **looks, **interval)
    facets.refline(x=0, color="0.6", zorder=0)
    facets.set_titles(f"{{col_name}} minus that of {OURS}")
    return facets.set_axis_labels("", "").tight_layout()
