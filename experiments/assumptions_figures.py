"""Pictures of the studies of assumptions, from their tables."""

from __future__ import annotations

import pandas as pd
import seaborn as sns


def normality(table: pd.DataFrame) -> sns.FacetGrid:
    return sns.catplot(table, kind="strip", x="discovered", y="data", hue="space", col="test", dodge=True, jitter=False,
                       alpha=0.6, height=3.5).set_axis_labels("share not normal", "")  # fmt: skip


def risk(table: pd.DataFrame) -> sns.FacetGrid:
    names = ["estimated", "true", "unshrunk", "released"]
    long = table.melt(["dropout", "seed", "clusters"], names, var_name="risk", value_name="per coordinate")
    return sns.relplot(long, kind="line", x="dropout", y="per coordinate", hue="risk", style="risk", col="clusters",
                       errorbar="sd", height=3.5)  # fmt: skip


def training(table: pd.DataFrame) -> sns.FacetGrid:
    names = ["ari_truth", "ari_previous", "movement", "loss"]
    long = table.melt(["data", "start", "seed", "epoch"], names, var_name="what", value_name="value")
    return sns.relplot(long, kind="line", x="epoch", y="value", hue="start", col="data", row="what", errorbar="sd",
                       height=2.5, facet_kws={"sharey": "row", "margin_titles": True}).set_titles(
                           col_template="{col_name}", row_template="{row_name}")  # fmt: skip


def sizes(table: pd.DataFrame) -> sns.FacetGrid:
    long = table.melt(["n_dims", "seed", "n_cells"], ["rmse", "expected"], var_name="error", value_name="of tau2")
    facets = sns.relplot(long, kind="line", x="n_cells", y="of tau2", hue="n_dims", style="error", errorbar=None,
                       palette="viridis", height=3.5)  # fmt: skip
    return facets.set(xscale="log", yscale="log")
