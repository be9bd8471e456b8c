"""Pictures of Table I, from results/table1.csv.

    python -m experiments figures

scores.png: ARI and NMI of every method on every set, mean and sd over seeds; time.png: ARI against
seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.runs import given_k, named, published, read, with_sets
from experiments.tables import OPTIONS as OPTIONS  # the same: a table of runs
from experiments.text import save

NEEDED = ("dataset", "variant", "method", "seed", "selection", "ari", "nmi")

# In the order of the pictures: JojoSCL red, methods that train a network blue and green, graphs,
# controls
STYLE = {
    "jojoscl": ("#b2182b", "o"),
    "jojoscl_paper": ("#ef8a62", "o"),
    "jojoscl_released": ("#f7b6c5", "o"),
    "sccl": ("#2166ac", "s"),
    "contrastive_sc": ("#67a9cf", "s"),
    "scdeepcluster": ("#1b7837", "s"),
    "sczidesk": ("#7fbf7b", "s"),
    "seurat": ("#762a83", "^"),
    "seurat_matched": ("#b88fc9", "^"),
    "leiden": ("#8c510a", "^"),
    "leiden_matched": ("#dfa955", "^"),
    "pearson_leiden": ("#01665e", "^"),
    "pearson_leiden_matched": ("#35978f", "^"),
    "phenograph": ("#bf812d", "v"),
    "phenograph_matched": ("#f6c141", "v"),
    "hdbscan": ("#c51b7d", "v"),
    "hdbscan_matched": ("#f1b6da", "v"),
    "scvi_leiden": ("#4393c3", "s"),
    "scvi_leiden_matched": ("#92c5de", "s"),
    "pca_kmeans": ("#4d4d4d", "D"),
    "gaussian_mixture": ("#878787", "D"),
    "random": ("#b3b3b3", "D"),
}
OTHER = ("#17becf", "v")
ORACLE = "epoch picked by true labels"


def styled(runs: pd.DataFrame) -> pd.DataFrame:
    """Return `runs` in the order of STYLE; `set` names the cells, `oracle` if labels chose."""
    runs = with_sets(named(runs)).assign(oracle=runs["selection"] == "oracle")
    known = list(STYLE)
    place = {name: known.index(name) if name in known else len(known) for name in runs["method"]}
    return runs.iloc[np.lexsort([runs["oracle"], runs["method"], runs["method"].map(place)])]


def scores(runs: pd.DataFrame) -> Figure:
    """A panel a set, a bar a method; ARI above, NMI below."""
    sets = sorted(runs["set"].unique())
    bars = list(dict.fromkeys(runs[["method", "oracle"]].itertuples(index=False, name=None)))
    lines = -(-len(sets) // 6)
    columns = -(-len(sets) // lines)
    height = 0.7 + 0.19 * len(bars)
    figure = Figure(figsize=(2.2 + 1.75 * columns, 2 * lines * height + 0.8), layout="constrained")
    axes = figure.subplots(2 * lines, columns, sharey=True, squeeze=False)
    for metric, block in zip(("ari", "nmi"), (axes[:lines], axes[lines:]), strict=True):
        for axis, name in zip(block.flat, sets, strict=False):
            draw_bars(axis, runs[runs["set"] == name], bars, metric)
            axis.set_title(name, fontsize=9)
        for axis in block.flat[len(sets) :]:
            axis.axis("off")
    ncols = 3 if columns > 3 else 1
    below = {"loc": "outside lower center", "ncols": ncols, "frameon": False, "fontsize": 8}
    figure.legend(handles=legend(runs), **below)
    return figure


def draw_bars(axis: Axes, runs: pd.DataFrame, bars: list[tuple[str, bool]], metric: str) -> None:
    """Mean and sd over seeds of each bar (name, oracle); hatched where labels picked the epoch."""
    groups = runs.groupby(["method", "oracle"])[metric]
    table = groups.agg(["mean", "std"]).reindex(bars)
    places = range(len(bars))
    looks = {
        "color": [STYLE.get(name, OTHER)[0] for name, _ in bars],
        "hatch": ["////" if oracle else "" for _, oracle in bars],
        "error_kw": {"elinewidth": 0.9, "ecolor": "black", "capsize": 1.5},
    }
    sd = table["std"].fillna(0)
    axis.barh(places, table["mean"], xerr=sd, edgecolor="white", linewidth=0, **looks)
    for place in np.flatnonzero(table["mean"].isna()):
        axis.text(0.02, place, "no run", va="center", fontsize=6, color="0.55")
    if value := published(runs["dataset"].iloc[0]).get(metric):
        axis.axvline(value, color="black", linestyle="--", linewidth=1)
    left = min(0, 1.1 * table["mean"].min())
    axis.set(xlim=(left, 1), ylim=(len(bars) - 0.4, -0.6), xticks=[0, 0.5, 1])
    axis.set_yticks(places, [bar_label(*bar) for bar in bars])
    axis.set_xlabel(metric.upper(), fontsize=8, labelpad=1)
    axis.tick_params(labelsize=7, length=2)
    behind(axis, "x")
    axis.spines[["top", "right"]].set_visible(False)


def bar_label(name: str, oracle: bool = False) -> str:
    """Such as ``sccl †`` where the labels picked the epoch, ``leiden (finds K)``."""
    return name + (" (finds K)" if given_k(name) is False else "") + (" †" if oracle else "")


def legend(runs: pd.DataFrame) -> list[Patch | Line2D]:
    """What bars, hatching and the dashed line are."""
    seeds = runs.groupby(["set", "method", "oracle"]).size()
    count = str(seeds.max()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    shown = [Patch(facecolor="0.6", label=f"label-free; mean and sd over {count} seeds")]
    if runs["oracle"].any():
        hatched = {"edgecolor": "white", "hatch": "////", "linewidth": 0}
        shown.append(Patch(facecolor="0.6", **hatched, label=f"† {ORACLE}"))
    dashed = {"color": "black", "linestyle": "--"}
    return [*shown, Line2D([], [], **dashed, label=f"JojoSCL as published ({ORACLE})")]


def panels(
    n: int, most: int, width: tuple[float, float], height: tuple[float, float], **shared: bool
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `n` panels, at most `most` a line; sizes are of the margin and a panel."""
    columns = min(most, n)
    lines = -(-n // columns)
    size = width[0] + width[1] * columns, height[0] + height[1] * lines
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False, **shared).flat)
    for axis in axes[n:]:
        axis.axis("off")
    return figure, axes[:n]


def time(runs: pd.DataFrame) -> Figure:
    """ARI against seconds without an oracle's rows, a panel a set; :func:`time_panels`."""
    groups = runs[~runs["oracle"]].groupby(["set", "method"], sort=False)
    means = groups[["seconds", "ari"]].mean().dropna().reset_index()
    shown = list(time_panels(means))
    figure, axes = panels(len(shown), 4, (2.6, 2.4), (0.9, 2.3), sharex=True, sharey=True)
    for axis, (title, table) in zip(axes, shown, strict=True):
        draw_times(axis, title, table)
    figure.supxlabel(
        "Seconds of a whole run, log scale, mean over seeds\n"
        "(jobs ran side by side on a CPU, one thread each)",
        fontsize=9,
    )
    figure.supylabel("ARI, label-free (mean over seeds)", fontsize=9)
    edge = {"markeredgecolor": "black", "markeredgewidth": 0.4}
    handles = markers(means["method"].unique(), bar_label, **edge)
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)
    return figure


def time_panels(means: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Title and rows of each panel; the first is the mean of the sets that every method has."""
    have = means.groupby("set")["method"].nunique()
    shared = have.index[have == means["method"].nunique()]
    if len(shared) > 1:
        groups = means[means["set"].isin(shared)].groupby("method", sort=False)
        rows = groups[["seconds", "ari"]].mean().reset_index()
        yield f"mean of the {len(shared)} sets\nthat every method has", rows
    yield from means.groupby("set")


def draw_times(axis: Axes, title: str, table: pd.DataFrame) -> None:
    """A point a method."""
    for row in table.itertuples():
        dots(axis, row.method, row.seconds, row.ari, size=42, line=0.4)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(min(-0.05, table["ari"].min() - 0.05), 1)
    axis.set_title(title, fontsize=9)
    axis.tick_params(labelsize=7, labelbottom=True)
    behind(axis)


def dots(axis: Axes, method: str, x: Any, y: Any, *, size: float, line: float) -> None:
    """Points in the colour and form of a method."""
    colour, marker = STYLE.get(method, OTHER)
    axis.scatter(x, y, s=size, color=colour, marker=marker, edgecolors="k", linewidths=line)


def markers(names: Iterable[str], label: Callable[[str], str], **edge: Any) -> list[Line2D]:
    """Legend of the points."""
    styles = {name: STYLE.get(name, OTHER) for name in names}
    return [
        Line2D([], [], linestyle="", color=colour, marker=marker, label=label(name), **edge)
        for name, (colour, marker) in styles.items()
    ]


def behind(axis: Axes, which: str = "both") -> None:
    """A pale grid behind what is drawn."""
    axis.grid(axis=which, color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)


def make(results: Path, figures: Path, table: Path | None = None) -> None:
    """Write the pictures."""
    runs = styled(read(table or results / "table1.csv", NEEDED))
    save(scores(runs), figures / "scores.png")
    save(time(runs), figures / "time.png")
