"""Pictures of a table of runs, and of the runs themselves.

    python experiments/figures.py experiments/results/table1.csv --runs runs/table1

scores.png: ARI and NMI of every method on every set, mean and sd over seeds. time.png: ARI against seconds.
umap_<set>.png: what each method made of the cells, by its run of seed 0 in --runs, all on one layout.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
from collect import named, reference
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image
from scipy.optimize import linear_sum_assignment

from jojoscl.runner.plots import umap_coordinates
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError, told_in_a_sentence
from jojoscl.utils.files import whole_file

HERE = Path(__file__).parent
NEEDED = ("dataset", "variant", "method", "preset", "seed", "selection", "ari", "nmi", "seconds")
MAX_CELLS = 2000  # drawn of a set: more only overlap, and make large files

# In the order of the pictures: JojoSCL red, methods that train a network blue and green, graphs, controls
STYLE = {
    "jojoscl default": ("#b2182b", "o"),
    "jojoscl paper": ("#ef8a62", "o"),
    "jojoscl released": ("#f7b6c5", "o"),
    "sccl": ("#2166ac", "s"),
    "contrastive_sc": ("#67a9cf", "s"),
    "scdeepcluster": ("#1b7837", "s"),
    "sczidesk": ("#7fbf7b", "s"),
    "seurat": ("#762a83", "^"),
    "seurat_matched": ("#b88fc9", "^"),
    "leiden": ("#8c510a", "^"),
    "leiden_matched": ("#dfa955", "^"),
    "pca_kmeans": ("#4d4d4d", "D"),
    "random": ("#b3b3b3", "D"),
}
OTHER = ("#17becf", "v")
FINDS_K = {"seurat", "leiden"}
ORACLE = "epoch picked by true labels"


def read_table(path: Path) -> pd.DataFrame:
    """The runs of a table by collect.py, with `name` (method and preset) and `oracle`, in the order of STYLE."""
    try:
        runs = pd.read_csv(path)
    except OSError as error:
        raise UserError(f"There is no table {path}: experiments/collect.py makes it from runs.") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a table of runs by experiments/collect.py.") from error
    if missing := [column for column in NEEDED if column not in runs]:
        raise UserError(f"{path} is no table of runs: it has no column {missing[0]!r}.")
    if runs.empty:
        raise UserError(f"{path} holds no run.")
    return styled(runs)


def styled(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` with what the pictures call a method and a set."""
    runs = named(runs)
    many = runs.groupby("dataset")["variant"].transform("nunique") > 1
    runs = runs.assign(
        oracle=runs["selection"] == "oracle",
        set=runs["dataset"].where(~many, runs["dataset"] + " " + runs["variant"].astype(str)),
    )
    known = list(STYLE)
    place = {name: known.index(name) if name in known else len(known) for name in runs["name"]}
    return runs.iloc[np.lexsort([runs["oracle"], runs["name"], runs["name"].map(place)])]


# ---------------------------------------------------------------------------------------------------------------------
# scores.png


def scores(runs: pd.DataFrame) -> Figure:
    """A panel a set, a bar a method; ARI above, NMI below."""
    sets = sorted(runs["set"].unique())
    bars = list(dict.fromkeys(zip(runs["name"], runs["oracle"], strict=True)))
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
    figure.legend(
        handles=legend(runs), loc="outside lower center", ncols=3 if columns > 3 else 1, frameon=False, fontsize=8
    )
    return figure


def draw_bars(axis: Axes, runs: pd.DataFrame, bars: list[tuple[str, bool]], metric: str) -> None:
    """Mean and sd over seeds of each bar (name, oracle); hatched where the labels picked the epoch."""
    groups = runs.groupby(["name", "oracle"])[metric]
    table = groups.agg(["mean", "std"]).reindex(bars)
    places = range(len(bars))
    axis.barh(
        places,
        table["mean"],
        xerr=table["std"].fillna(0),
        color=[STYLE.get(name, OTHER)[0] for name, _ in bars],
        hatch=["////" if oracle else "" for _, oracle in bars],
        edgecolor="white",
        linewidth=0,
        error_kw={"elinewidth": 0.9, "ecolor": "black", "capsize": 1.5},
    )
    for place in np.flatnonzero(table["mean"].isna()):
        axis.text(0.02, place, "no run", va="center", fontsize=6, color="0.55")
    if (value := published(runs["dataset"].iloc[0], metric)) is not None:
        axis.axvline(value, color="black", linestyle="--", linewidth=1)
    axis.set(xlim=(min(0, 1.1 * table["mean"].min()), 1), ylim=(len(bars) - 0.4, -0.6), xticks=[0, 0.5, 1])
    axis.set_yticks(places, [bar_label(*bar) for bar in bars])
    axis.set_xlabel(metric.upper(), fontsize=8, labelpad=1)
    axis.tick_params(labelsize=7, length=2)
    axis.grid(axis="x", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def bar_label(name: str, oracle: bool) -> str:
    """Such as ``sccl †`` where the labels picked the epoch, ``leiden (finds K)``."""
    return name + (" (finds K)" if name in FINDS_K else "") + (" †" if oracle else "")


def published(dataset: str, metric: str) -> float | None:
    """JojoSCL's score in the paper's Table I."""
    found = reference().query("dataset == @dataset and method == 'jojoscl'")[metric]
    return None if found.empty else float(found.iloc[0])


def legend(runs: pd.DataFrame) -> list[Patch | Line2D]:
    """What bars, hatching and the dashed line are."""
    seeds = runs.groupby(["set", "name", "oracle"]).size()
    count = str(seeds.max()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    bar = Patch(facecolor="0.6", label=f"label-free; mean and sd over {count} seeds")
    picked = Patch(facecolor="0.6", edgecolor="white", hatch="////", linewidth=0, label=f"† {ORACLE}")
    line = Line2D([], [], color="black", linestyle="--", label=f"JojoSCL as published ({ORACLE})")
    return [bar, *([picked] if runs["oracle"].any() else []), line]


# ---------------------------------------------------------------------------------------------------------------------
# time.png


def time(runs: pd.DataFrame) -> Figure:
    """ARI against seconds, a panel a set, before them the mean of the sets that every method has; no oracle's rows."""
    means = runs[~runs["oracle"]].groupby(["set", "name"], sort=False)[["seconds", "ari"]].mean().reset_index()
    panels = list(time_panels(means))
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(2.6 + 2.4 * columns, 0.9 + 2.3 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes.flat, panels, strict=False):
        draw_times(axis, title, table)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    figure.supxlabel(
        "seconds of a whole run, log scale, mean over seeds\n(jobs ran side by side on a CPU, one thread each)",
        fontsize=9,
    )
    figure.supylabel("ARI, label-free (mean over seeds)", fontsize=9)
    figure.legend(handles=list(markers(means["name"].unique())), loc="outside right center", frameon=False, fontsize=8)
    return figure


def time_panels(means: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Title and rows of each panel."""
    have = means.groupby("set")["name"].nunique()
    shared = have.index[have == means["name"].nunique()]
    if len(shared) > 1:
        rows = means[means["set"].isin(shared)].groupby("name", sort=False)[["seconds", "ari"]].mean().reset_index()
        yield f"mean of the {len(shared)} sets\nthat every method has", rows
    yield from means.groupby("set")


def draw_times(axis: Axes, title: str, table: pd.DataFrame) -> None:
    """A point a method."""
    for row in table.itertuples():
        colour, marker = STYLE.get(row.name, OTHER)
        axis.scatter(row.seconds, row.ari, color=colour, marker=marker, s=42, edgecolors="black", linewidths=0.4)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(min(-0.05, table["ari"].min() - 0.05), 1)
    axis.set_title(title, fontsize=9)
    axis.tick_params(labelsize=7, labelbottom=True)
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)


def markers(names: np.ndarray) -> Iterator[Line2D]:
    """Legend of the points."""
    for name in names:
        colour, marker = STYLE.get(name, OTHER)
        edge = {"markeredgecolor": "black", "markeredgewidth": 0.4}
        yield Line2D([], [], linestyle="", color=colour, marker=marker, label=bar_label(name, False), **edge)


# ---------------------------------------------------------------------------------------------------------------------
# umap_<set>.png


def umaps(folder: Path) -> Iterator[tuple[str, Figure]]:
    """Set and picture, for each set with finished runs of seed 0 below `folder`."""
    runs = collect(folder)
    if runs.empty:
        print(f"There is no finished run below {folder}: no UMAP.")
        return
    runs = styled(runs.reindex(columns=[*NEEDED, "folder"]).query("seed == 0"))
    picked = runs.loc[
        runs["oracle"], "folder"
    ]  # an oracle's run has two rows; the clusters it left are those it picked
    for name, group in runs[runs["oracle"] | ~runs["folder"].isin(picked)].groupby("set"):
        yield str(name), umap(str(name), group)


def umap(title: str, runs: pd.DataFrame) -> Figure:
    """Types and every method's clusters of one set, on the layout of the first run's embedding (JojoSCL default)."""
    results = [(row, read_result(Path(row.folder))) for row in runs.itertuples()]
    first = results[0][1]
    drawn = np.random.default_rng(0).permutation(first.n_obs)[:MAX_CELLS]
    points = umap_coordinates(first.obsm["X_jojoscl"][drawn], seed=0)
    truth = np.asarray(first.obs["cell_type"].astype(str))
    palette = type_colours(truth)
    panels = [("annotated types", np.array([palette[name] for name in truth]))]
    for row, result in results:
        if list(result.obs_names) != list(first.obs_names):
            print(f"{row.folder} holds other cells than {runs['folder'].iloc[0]}: left out of the UMAP.")
            continue
        clusters = np.asarray(result.obs["jojoscl"].astype(str))
        panels.append((f"{bar_label(row.name, row.oracle)}\nARI {row.ari:z.3f}", colours(truth, clusters, palette)))
    cells = f"{len(drawn)} of {first.n_obs} cells" if len(drawn) < first.n_obs else f"{first.n_obs} cells"
    note = f"{title}, {cells}, seed 0; all on the UMAP of the embedding of {runs['name'].iloc[0]}"
    note += f"\n† {ORACLE}" if runs["oracle"].any() else ""
    return small_multiples([(name, of[drawn]) for name, of in panels], points, palette, note)


def read_result(folder: Path) -> anndata.AnnData:
    """What a run left of its cells."""
    try:
        result = anndata.read_h5ad(folder / "result.h5ad")
    except (OSError, KeyError) as error:
        raise UserError(f"{folder / 'result.h5ad'} cannot be read: run it again by force=true.") from error
    if missing := {"cell_type", "jojoscl"} - set(result.obs):
        raise UserError(f"{folder / 'result.h5ad'} has no obs[{min(missing)!r}].")
    return result


def type_colours(truth: np.ndarray) -> dict[str, str]:
    """A colour a type; none is grey, which is for clusters without a type."""
    names = sorted(set(truth), key=lambda name: (int(name) if name.isdigit() else -1, name))
    palette = sc.pl.palettes.vega_20_scanpy if len(names) <= 20 else sc.pl.palettes.godsnot_102
    palette = [colour for colour in palette if np.ptp(to_rgb(colour)) > 0.1]
    return dict(zip(names, palette * (1 + len(names) // len(palette)), strict=False))


def match(truth: np.ndarray, clusters: np.ndarray) -> dict[str, str]:
    """The type of each cluster by the one-to-one matching with most cells in common (Hungarian); some have none."""
    table = pd.crosstab(clusters, truth)
    pairs = zip(*linear_sum_assignment(table.to_numpy(), maximize=True), strict=True)
    return {table.index[i]: table.columns[j] for i, j in pairs if table.iloc[i, j] > 0}


def colours(truth: np.ndarray, clusters: np.ndarray, palette: dict[str, str]) -> np.ndarray:
    """A colour a cell: that of the type its cluster is matched to, or a grey of its own where there is none."""
    types = match(truth, clusters)
    rest = sorted(set(clusters) - set(types))
    greys = dict(zip(rest, map("{:.2f}".format, np.linspace(0.25, 0.8, len(rest))), strict=True))
    chosen = {cluster: palette[kind] for cluster, kind in types.items()} | greys
    return np.array([chosen[cluster] for cluster in clusters])


def small_multiples(
    panels: list[tuple[str, np.ndarray]], points: np.ndarray, palette: dict[str, str], note: str
) -> Figure:
    """A panel each, and the types' colours at the right."""
    columns = min(5, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(2.2 + 2.1 * columns, 0.6 + 2.3 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis, (title, of) in zip(axes.flat, panels, strict=False):
        axis.scatter(*points.T, s=min(14.0, max(1.0, 3500 / len(points))), c=of, linewidths=0)
        axis.set_title(title, fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("0.8")
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    figure.suptitle(note, fontsize=9)
    handles = [Line2D([], [], linestyle="", marker="o", color=of, label=name) for name, of in palette.items()]
    grey = Line2D([], [], linestyle="", marker="o", color="0.5", label="grey: a cluster\nwithout a type")
    figure.legend(
        handles=[*handles, grey],
        loc="outside right center",
        frameon=False,
        fontsize=7,
        ncols=1 + len(handles) // (1 + 11 * lines),
    )
    return figure


# ---------------------------------------------------------------------------------------------------------------------


def save(figure: Any, path: Path, dpi: int = 150) -> None:
    """A PNG of 256 colours: a third of the size, and the eye sees no difference."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi)
    with whole_file(path) as temporary:
        Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(temporary, optimize=True)
    print(path)


@told_in_a_sentence
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--runs", type=Path, help="folder of the runs, for the UMAPs")
    parser.add_argument("--out", type=Path, default=HERE / "figures")
    arguments = parser.parse_args()
    runs = read_table(arguments.table)
    save(scores(runs), arguments.out / "scores.png")
    save(time(runs), arguments.out / "time.png")
    if arguments.runs is None or not arguments.runs.is_dir():
        print(f"No UMAP: there is no folder of runs {arguments.runs or '(give --runs)'}.")
        return
    for name, figure in umaps(arguments.runs):
        save(figure, arguments.out / f"umap_{name.replace(' ', '_')}.png")


if __name__ == "__main__":
    main()
