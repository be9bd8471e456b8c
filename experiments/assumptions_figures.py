"""Pictures of the studies of assumptions, from their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns


def normality(table: pd.DataFrame) -> sns.FacetGrid:
    return sns.catplot(table, kind="strip", x="discovered", y="data", hue="space", col="test", dodge=True, jitter=False,
                       alpha=0.6, height=3.5).set_axis_labels("share not normal", "")  # fmt: skip


def risk(table: pd.DataFrame) -> sns.FacetGrid:
    names = ["estimated", "true", "unshrunk", "released"]
    long = table.melt(
        ["dropout", "seed", "clusters"], names, var_name="risk", value_name="per coordinate"
    )
    return sns.relplot(long, kind="line", x="dropout", y="per coordinate", hue="risk", style="risk", col="clusters",
                       errorbar="sd", height=3.5)  # fmt: skip


def training(table: pd.DataFrame) -> sns.FacetGrid:
    names = ["ari_truth", "ari_previous", "movement", "loss"]
    long = table.melt(
        ["data", "start", "seed", "epoch"], names, var_name="what", value_name="value"
    )
    return sns.relplot(long, kind="line", x="epoch", y="value", hue="start", col="data", row="what", errorbar="sd",
                       height=2.5, facet_kws={"sharey": "row", "margin_titles": True}).set_titles(
                           col_template="{col_name}", row_template="{row_name}")  # fmt: skip


def sizes(table: pd.DataFrame) -> sns.FacetGrid:
    long = table.melt(
        ["n_dims", "seed", "n_cells"], ["rmse", "expected"], var_name="error", value_name="of tau2"
    )
    facets = sns.relplot(long, kind="line", x="n_cells", y="of tau2", hue="n_dims", style="error", errorbar=None,
                       palette="viridis", height=3.5)  # fmt: skip
    return facets.set(xscale="log", yscale="log")


def uneven(table: pd.DataFrame) -> sns.FacetGrid:
    long = table.melt(
        ["ratio", "sure", "seed"], ["ari", "rare", "largest"], var_name="what", value_name="value"
    )
    facets = sns.relplot(long, kind="line", x="ratio", y="value", hue="sure", col="what", errorbar="sd",
                         err_style="bars", marker="o", height=3.2)  # fmt: skip
    return (
        facets.set(xscale="log")
        .set_axis_labels("largest type over each other type", "")
        .set_titles("{col_name}")
    )


def slopes(table: pd.DataFrame) -> pd.Series:
    """Exponent of each term along each axis, by least squares on logarithms of the larger half of the sizes."""
    upper = table[table["size"] >= table.groupby("axis")["size"].transform("median")]
    groups = upper.groupby(["axis", "term"])
    return groups[["size", "seconds"]].apply(
        lambda rows: np.polyfit(*np.log(rows.to_numpy()).T, 1)[0]
    )


def cost(table: pd.DataFrame) -> sns.FacetGrid:
    facets = sns.relplot(table, kind="line", x="size", y="seconds", hue="term", col="axis", marker="o", height=3.2,
                         facet_kws={"sharex": False})  # fmt: skip
    facets.set(xscale="log", yscale="log")
    for axis, panel in facets.axes_dict.items():
        words = [f"{term}: {slope:.2f}" for term, slope in slopes(table)[axis].items()]
        panel.text(
            0.04,
            0.96,
            "\n".join(["exponent", *words]),
            transform=panel.transAxes,
            va="top",
            fontsize=8,
        )
    return facets.set_titles("{col_name}").set_axis_labels("", "seconds")
