"""Pictures of the results in an AnnData.

Each takes the cells, the `key` of the results or columns, and `ax`, where to draw; None is a figure
of its own. The Axes are returned: ``ax.figure.savefig("clusters.png")`` writes the figure.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.text import Text

from jojoscl.core.positives import igraph_seed
from jojoscl.tools.annotate import there
from jojoscl.tools.compare import both_of
from jojoscl.tools.tree import hierarchy, tree_of
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import finished, progress
from jojoscl.utils.seeding import at_most

__all__ = ["compare", "confidence", "shrinkage", "tree", "umap"]

log = logging.getLogger(__name__)

NEIGHBORS, MIN_DIST = 15, 0.5  # as scanpy has them
EPOCHS = 100
MOST_CELLS = 20_000  # more are hidden behind each other


@contextmanager
def _axes(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Yield `ax`, or the axes of a new figure of this size in inches."""
    if not isinstance(ax, Axes | None):
        raise UserError(f"ax must be one Axes of matplotlib, such as plt.gca(), not {ax!r}.")
    ax = ax or plt.subplots(figsize=(width, height), layout="constrained")[1]
    yield ax
    for text in ax.findobj(Text):
        text.set_parse_math(False)  # a name with dollar signs in it is no formula


def umap(
    adata: AnnData,
    key: str = "jojoscl",
    color: str | None = None,
    *,
    seed: int | None = None,
    progress_bar: bool | None = None,
    ax: Axes | None = None,
    **scanpy: object,
) -> Axes:
    """Draw the UMAP of the embedding ``obsm["X_" + key]``, as scanpy draws it.

    The coordinates, by igraph's UMAP, are kept in ``obsm["X_" + key + "_umap"]``, until the cells
    are clustered anew. Those that are there, such as your own by ``scanpy.tl.umap``, are drawn as
    they are, unless a seed is given. Above 20,000 cells a random subset is drawn, and the log says
    so: the other cells' coordinates are NaN.

    Parameters
    ----------
    color
        A column of `obs` or a gene; None is `key`.
    seed
        Of new coordinates; None takes those that are there, else 0.
    progress_bar
        As in :func:`jojoscl.cluster`.
    **scanpy
        Whatever ``scanpy.pl.embedding`` takes, such as ``palette=``, ``size=`` or ``legend_loc="on
        data"``.
    """
    embedding, basis = np.asarray(there(adata, "obsm", f"X_{key}")), f"X_{key}_umap"
    color = key if color is None else color
    names = [*adata.obs, *adata.var_names, *getattr(adata.raw, "var_names", ())]
    if color not in names and "gene_symbols" not in scanpy:
        raise UserError(f"There is no column and no gene {color!r}: give one to color by.")
    if basis not in adata.obsm or seed is not None:
        inside = np.isfinite(embedding).all(axis=1)  # NaN: restrict_to left the cell out
        coordinates = np.full((len(embedding), 2), np.nan, np.float32)
        with progress("umap", ["neighbors", "layout"], progress_bar):
            coordinates[inside] = umap_coordinates(embedding[inside], seed or 0)
        adata.obsm[basis] = coordinates
    with _axes(ax, 6.4, 4.8) as on, warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of matplotlib, for scanpy
        sc.pl.embedding(adata, basis, color=color, ax=on, show=False, **scanpy)
        on.set(xlabel="UMAP 1", ylabel="UMAP 2")
    return on


def umap_coordinates(embedding: np.ndarray, seed: int) -> np.ndarray:
    """Return the UMAP coordinates (n, 2) of an embedding (n, d), float32.

    McInnes, Healy & Melville, arXiv 1802.03426, by igraph, which has nothing to compile first. Its
    neighbors are exact, and it starts from the first two dimensions. Above 20,000 cells a random
    subset gets coordinates, the others NaN; the log says so.
    """
    import igraph  # slow to import, as is scikit-learn: not before it is needed
    from sklearn.neighbors import NearestNeighbors

    some = at_most(np.arange(len(embedding)), MOST_CELLS, seed=seed)  # (m,)
    if len(some) < len(embedding):
        log.warning("the UMAP is that of %d random cells of %d", len(some), len(embedding))
    if len(some) < 2:
        raise UserError(f"A UMAP needs at least 2 cells, and there are {len(some)}.")
    x = embedding[some]
    k = min(NEIGHBORS, len(x) - 1)
    distances, neighbors = NearestNeighbors(n_neighbors=k).fit(x).kneighbors()  # (m, k)
    finished("neighbors")
    edges = zip(np.repeat(np.arange(len(x)), k).tolist(), neighbors.ravel().tolist(), strict=True)
    graph = igraph.Graph(len(x), edges, directed=True)
    start = np.zeros((len(x), 2))
    start[:, : x.shape[1]] = x[:, :2] * (10 / max(np.abs(x[:, :2]).max(), 1e-12))
    with igraph_seed(seed):
        layout = graph.layout_umap(
            dist=distances.ravel().tolist(), seed=start.tolist(), min_dist=MIN_DIST, epochs=EPOCHS
        )
    coordinates = np.full((len(embedding), 2), np.nan, np.float32)
    coordinates[some] = layout.coords
    return coordinates


def confidence(adata: AnnData, key: str = "jojoscl", *, ax: Axes | None = None) -> Axes:
    """Draw the confidence of each cluster's cells as boxes, the least sure at the top.

    Cells without a cluster or without a confidence are left out.
    """
    values = there(adata, "obs", f"{key}_confidence").dropna().astype(float)
    groups = dict(list(values.groupby(there(adata, "obs", key), observed=True)))
    if not groups:
        raise UserError(f"No cell has a confidence in adata.obs[{key + '_confidence'!r}].")
    names = sorted(groups, key=lambda name: -groups[name].median())
    with _axes(ax, 5, 1 + 0.28 * len(names)) as ax:
        boxes = [groups[name] for name in names]
        ax.boxplot(boxes, orientation="horizontal", showfliers=False, whis=(5, 95))
        words = [f"{name!s} ({len(groups[name])} cells)" for name in names]
        ax.set_yticks(range(1, len(names) + 1), words, parse_math=False)
        ax.set(xlabel="confidence", ylabel="cluster", xlim=(0, 1.02))
    return ax


def compare(adata: AnnData, one: str, other: str, *, ax: Axes | None = None) -> Axes:
    """Draw the share of each group of `one` that is in each group of `other`, columns of `obs`.

    A row is a group of `one` and sums to 1; columns stand where rows have their largest share.
    """
    a, b = both_of(adata, one, other)
    shares = pd.crosstab(a, b, normalize="index")
    rows = sorted(shares.index, key=lambda word: word.zfill(9))
    shares = shares.loc[rows]
    shares = shares.iloc[:, np.argsort(shares.to_numpy().argmax(0), kind="stable")]
    with _axes(ax, 2.5 + 0.4 * shares.shape[1], 1.5 + 0.3 * len(rows)) as ax:
        image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        plt.colorbar(image, ax=ax)
        ax.set_xticks(range(shares.shape[1]), shares.columns, rotation=90, parse_math=False)
        ax.set_yticks(range(len(rows)), rows, parse_math=False)
        ax.set(xlabel=other, ylabel=one)
    return ax


def shrinkage(adata: AnnData, key: str = "jojoscl", *, ax: Axes | None = None) -> Axes:
    """Draw how much of each component of the embedding SURE leaves: 1 is all, 0 is nothing."""
    kept = there(adata, "uns", key).get("shrinkage")
    if kept is None:
        raise UserError(
            f"adata.uns[{key!r}] has no shrinkage of components: only jojoscl.JojoSCL leaves it."
        )
    with _axes(ax, 5, 3) as ax:
        ax.bar(np.arange(1, len(kept) + 1), kept)
        ax.set(xlabel="component", ylabel="factor 1 − 1/λ", ylim=(0, 1))
    return ax


def tree(adata: AnnData, key: str = "jojoscl", *, ax: Axes | None = None) -> Axes:
    """Draw the tree of the clusters.

    After :func:`jojoscl.split_tests` it is the tree that was tested: a number is the adjusted p
    value of a split, splits that are not kept are dashed, and behind a cluster's name stands the
    number of its cells in the half of the counts that made the tree.

    Before, it is the tree that :func:`jojoscl.cluster` left, with the cells and the stability of
    each cluster, 0 to 1. A cluster of low stability is arbitrary: other draws divide its cells in
    another way. The first split is the least sure: clusters far apart hardly share a draw.
    """
    tested = isinstance(adata, AnnData) and f"{key}_splits" in adata.uns
    try:
        forks = _tested(adata.uns[f"{key}_splits"]) if tested else _found(adata, key)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        words = f"adata.uns holds no tree of {key!r} by jojoscl: call jojoscl.cluster again."
        raise UserError(words) from error
    if not forks:
        raise UserError("One cluster has no splits to draw: ask for more clusters.")
    with _axes(ax, 7, 1 + 0.35 * (len(forks) + 1)) as ax:
        leaves = _draw(forks, ax)
        ax.set_yticks(range(len(leaves)), leaves, parse_math=False)
        ax.yaxis.tick_right()
        title = "adjusted p of each split" if tested else ""
        ax.set(xticks=[], xlim=(-0.8, None), title=title)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    return ax


class _Fork(NamedTuple):
    """A split to draw: what it says of the cluster on each side, and what stands at it."""

    parent: int
    side: str
    leaves: dict[str, str]
    note: str = ""
    kept: bool = True


def _tested(table: pd.DataFrame) -> list[_Fork]:
    """Return the forks of a table of :func:`jojoscl.split_tests`."""
    forks = []
    for row in table.to_dict("records"):
        leaves = {side: f"{row[side]} ({row[f'n_{side}']} cells)" for side in ("left", "right")}
        p = f"{row['p_adjusted']:.1g}" if row["p_adjusted"] else "<1e-300"  # 0 is what underflows
        forks.append(_Fork(row["parent"], row["side"], leaves, p, row["kept"]))
    return forks


def _found(adata: AnnData, key: str) -> list[_Fork]:
    """Return the forks of the tree of :func:`jojoscl.cluster`, with the names in ``obs[key]``."""
    groups, found = tree_of(adata, key)
    stability = np.ravel(adata.uns[key]["stability"])
    inside = groups >= 0
    labels = found.cut(len(stability))[groups[inside]]
    names = dict(zip(labels, there(adata, "obs", key)[inside], strict=True))
    cells = np.bincount(labels, minlength=len(stability))
    words = [
        f"{names.get(cluster, cluster)} ({cells[cluster]} cells, stability {stable:.2f})"
        for cluster, stable in enumerate(stability)
    ]
    return [
        _Fork(x.parent, x.side, {"left": words[x.left[0]], "right": words[x.right[0]]})
        for x in hierarchy(found, len(stability))
    ]


def _draw(forks: Sequence[_Fork], ax: Axes) -> list[str]:
    """Draw a tree, the root first, and return the words of its leaves from the bottom up."""
    below = {(fork.parent, fork.side): number for number, fork in enumerate(forks)}
    depth = {-1: -1}
    for number, fork in enumerate(forks):
        depth[number] = depth[fork.parent] + 1
    leaves: list[str] = []

    def place(number: int) -> float:
        """Draw a split with all below it; return the height at which its own line begins."""
        fork, x, ends = forks[number], depth[number], []
        for side, leaf in fork.leaves.items():
            if child := below.get((number, side)):
                ends.append((depth[child], place(child)))
            else:
                leaves.append(leaf)
                ends.append((max(depth.values()) + 1, len(leaves) - 1))
        y = (ends[0][1] + ends[1][1]) / 2
        colour, style = ("black", "-") if fork.kept else ("0.6", "--")
        for end_x, end_y in ends:
            ax.plot([x, x, end_x], [y, end_y, end_y], color=colour, ls=style)
        ax.text(x - 0.05, y, fork.note, ha="right", va="bottom", fontsize=8)
        return y

    place(0)
    return leaves
