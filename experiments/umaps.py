"""What each method made of the cells, by its run of seed 0, all on one layout: umap_<set>.png.

python -m experiments umaps runs/table1
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import linear_sum_assignment

from experiments.figures import NEEDED, ORACLE, bar_label, panels, styled
from experiments.runs import finished
from experiments.text import save
from jojoscl.pl import umap_coordinates
from jojoscl.utils.errors import UserError

OPTIONS = {"runs": {"type": Path, "help": "folder of the runs"}}
MAX_CELLS = 2000  # drawn of a set: more only overlap, and make large files


def umaps(folder: Path) -> Iterator[tuple[str, Figure]]:
    """Set and picture, for each set with finished runs of seed 0 below `folder`."""
    runs = finished(folder, "no UMAP can be drawn")
    runs = styled(runs.reindex(columns=[*NEEDED, "folder"]).query("seed == 0"))
    # An oracle's run has two rows; the clusters it left are those that the labels picked.
    picked = runs.loc[runs["oracle"], "folder"]
    for name, group in runs[runs["oracle"] | ~runs["folder"].isin(picked)].groupby("set"):
        yield str(name), umap(str(name), group)


def umap(title: str, runs: pd.DataFrame) -> Figure:
    """Types and every method's clusters of one set, on the layout of the first run's embedding."""
    results = [(row, read_result(Path(row.folder))) for row in runs.itertuples()]
    first = results[0][1]
    drawn = np.random.default_rng(0).permutation(first.n_obs)[:MAX_CELLS]
    points = umap_coordinates(first.obsm["X_jojoscl"][drawn], seed=0)
    truth = np.asarray(first.obs["cell_type"].astype(str))
    palette = type_colours(truth)
    shown = [("annotated types", np.array([palette[name] for name in truth]))]
    for row, result in results:
        if list(result.obs_names) != list(first.obs_names):
            other = runs["folder"].iloc[0]
            print(f"{row.folder} holds other cells than {other}: left out of the UMAP.")
            continue
        clusters = np.asarray(result.obs["jojoscl"].astype(str))
        name = f"{bar_label(row.method, row.oracle)}\nARI {row.ari:z.3f}"
        shown.append((name, colours(truth, clusters, palette)))
    of_all = f"{len(drawn)} of " if len(drawn) < first.n_obs else ""
    note = f"{title}, {of_all}{first.n_obs} cells, seed 0; all on the UMAP of the embedding of "
    note += runs["method"].iloc[0] + (f"\n† {ORACLE}" if runs["oracle"].any() else "")
    return small_multiples([(name, of[drawn]) for name, of in shown], points, palette, note)


def read_result(folder: Path) -> anndata.AnnData:
    """What a run left of its cells."""
    path = folder / "result.h5ad"
    try:
        result = anndata.read_h5ad(path)
    except (OSError, KeyError) as error:
        raise UserError(f"{path} cannot be read: run it again by force=true.") from error
    if missing := {"cell_type", "jojoscl"} - set(result.obs):
        raise UserError(f"{path} has no obs[{min(missing)!r}].")
    return result


def type_colours(truth: np.ndarray) -> dict[str, str]:
    """A colour a type; none is grey, which is for clusters without a type."""
    names = sorted(set(truth), key=lambda name: (int(name) if name.isdigit() else -1, name))
    palette = sc.pl.palettes.vega_20_scanpy if len(names) <= 20 else sc.pl.palettes.godsnot_102
    palette = [colour for colour in palette if np.ptp(to_rgb(colour)) > 0.1]
    return dict(zip(names, palette * (1 + len(names) // len(palette)), strict=False))


def match(truth: np.ndarray, clusters: np.ndarray) -> dict[str, str]:
    """The type of each cluster, one to one with most cells in common (Hungarian); or none."""
    table = pd.crosstab(clusters, truth)
    pairs = zip(*linear_sum_assignment(table.to_numpy(), maximize=True), strict=True)
    return {table.index[i]: table.columns[j] for i, j in pairs if table.iloc[i, j] > 0}


def colours(truth: np.ndarray, clusters: np.ndarray, palette: dict[str, str]) -> np.ndarray:
    """A colour a cell: of the type that its cluster is matched to, else a grey of the cluster."""
    types = match(truth, clusters)
    rest = sorted(set(clusters) - set(types))
    greys = dict(zip(rest, map("{:.2f}".format, np.linspace(0.25, 0.8, len(rest))), strict=True))
    chosen = {cluster: palette[kind] for cluster, kind in types.items()} | greys
    return np.array([chosen[cluster] for cluster in clusters])


def small_multiples(
    shown: list[tuple[str, np.ndarray]], points: np.ndarray, palette: dict[str, str], note: str
) -> Figure:
    """A panel each, and the types' colours at the right."""
    figure, axes = panels(len(shown), 5, (2.2, 2.1), (0.6, 2.3))
    for axis, (title, of) in zip(axes, shown, strict=True):
        axis.scatter(*points.T, s=min(14.0, max(1.0, 3500 / len(points))), c=of, linewidths=0)
        axis.set_title(title, fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("0.8")
    figure.suptitle(note, fontsize=9)
    names = palette | {"grey: a cluster\nwithout a type": "0.5"}
    dot = {"linestyle": "", "marker": "o"}
    handles = [Line2D([], [], **dot, color=of, label=name) for name, of in names.items()]
    ncols = 1 + len(palette) // (1 + 11 * -(-len(shown) // 5))
    looks = {"loc": "outside right center", "frameon": False, "fontsize": 7, "ncols": ncols}
    figure.legend(handles=handles, **looks)
    return figure


def make(results: Path, figures: Path, runs: Path) -> None:
    """Write the pictures."""
    for name, figure in umaps(runs):
        save(figure, figures / f"umap_{name.replace(' ', '_')}.png")
