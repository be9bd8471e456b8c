"""Pictures of the results in an AnnData.

Each takes the cells, the `key` of the results, and how the picture is shown:

ax
    Where to draw; None is a figure of its own. The Axes are returned.
show
    Whether to open a window, where Python can.
save
    Where to write the figure, such as ``"clusters.png"``.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.text import Text

from jojoscl.cells.checks import check_anndata
from jojoscl.tools.cut import tree_of
from jojoscl.tools.tree import hierarchy, side_of
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import unwritable
from jojoscl.utils.progress import finished, progress

__all__ = ["confidence", "shrinkage", "tree", "umap"]

FEWEST_OF_UMAP = 4  # cells; scanpy's layout fails with fewer
_SPLITS = ("split", "parent", "side", "left", "right", "n_left", "n_right", "p_adjusted", "kept")


class Shown(TypedDict, total=False):
    """How a picture is shown."""

    ax: Axes | None
    show: bool
    save: str | Path | None


def umap(
    adata: AnnData,
    key: str = "jojoscl",
    color: str | None = None,
    *,
    seed: int | None = None,
    progress_bar: bool | None = None,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
    **scanpy: object,
) -> Axes:
    """Draw the UMAP of the embedding ``obsm["X_" + key]``, as scanpy draws it.

    The coordinates, by scanpy's defaults, are kept in ``obsm["X_" + key + "_umap"]``. They are
    made anew when the embedding is another, or another seed is asked for.

    Parameters
    ----------
    color
        A column of `obs` or a gene; None is `key`.
    seed
        Of the coordinates; None takes those that are there, else 0.
    progress_bar
        As in :func:`jojoscl.cluster`.
    **scanpy
        Whatever ``scanpy.pl.embedding`` takes, such as ``palette=``, ``size=`` or ``legend_loc="on
        data"``.
    """
    embedding = np.asarray(_there(adata, "obsm", f"X_{key}"))
    color = key if color is None else color
    if not isinstance(color, str):
        raise UserError(f"color must be one column or gene, not {color!r}: draw one after another.")
    if color not in adata.obs and color not in adata.var_names:
        raise UserError(
            f"There is no column and no gene {color!r} to colour by: give color= one that is there."
        )
    with progress("umap", ["neighbors", "layout"], progress_bar):
        _keep_coordinates(adata, key, embedding, seed)
    with _axes((6.4, 4.8), ax=ax, show=show, save=save) as on:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)  # of matplotlib, for scanpy
            sc.pl.embedding(adata, f"X_{key}_umap", color=color, ax=on, show=False, **scanpy)
        on.set(xlabel="UMAP 1", ylabel="UMAP 2")
    return on


def _keep_coordinates(adata: AnnData, key: str, embedding: np.ndarray, seed: int | None) -> None:
    """Put the coordinates into obsm, unless those that are there are of this embedding and seed.

    Cells without an embedding, which ``restrict_to`` left out, get none.
    """
    basis, note = f"X_{key}_umap", f"{key}_umap"
    made, there = adata.uns.get(note), basis in adata.obsm
    content = zlib.crc32(np.ascontiguousarray(embedding).tobytes())
    kept = made if isinstance(made, Mapping) else {"embedding": content}  # none: the user's own
    if there and kept.get("embedding") == content and seed in (None, kept.get("seed")):
        return
    seed = 0 if seed is None else seed
    inside = np.isfinite(embedding).all(axis=1)
    if (n := inside.sum()) < FEWEST_OF_UMAP:
        raise UserError(f"A UMAP needs at least {FEWEST_OF_UMAP} cells, and there are {n}.")
    coordinates = np.full((len(embedding), 2), np.nan, np.float32)
    coordinates[inside] = umap_coordinates(embedding[inside], seed)
    adata.obsm[basis] = coordinates
    adata.uns[note] = {"seed": seed, "embedding": content}


def umap_coordinates(embedding: np.ndarray, seed: int) -> np.ndarray:
    """Return UMAP coordinates (n, 2) by scanpy's defaults."""
    adata = AnnData(embedding.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's and umap's words are not for the user
        n_neighbors = min(15, len(embedding) - 1)
        sc.pp.neighbors(adata, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
        finished("neighbors")
        sc.tl.umap(adata, random_state=seed)
    return np.asarray(adata.obsm["X_umap"])


def confidence(adata: AnnData, key: str = "jojoscl", **shown: Unpack[Shown]) -> Axes:
    """Draw the confidence of each cluster's cells as boxes, the least sure at the top.

    Cells without a cluster or without a confidence are left out.
    """
    cells = pd.DataFrame(
        {
            "value": np.asarray(_there(adata, "obs", f"{key}_confidence"), dtype=float),
            "cluster": np.asarray(_there(adata, "obs", key)),
        }
    ).dropna()
    groups = dict(list(cells.groupby("cluster")["value"]))
    if not groups:
        raise UserError(f"No cell has a confidence in adata.obs[{key + '_confidence'!r}].")
    names = sorted(groups, key=lambda name: -groups[name].median())
    with _axes((5, 1 + 0.28 * len(names)), **shown) as ax:
        boxes = [groups[name] for name in names]
        ax.boxplot(boxes, orientation="horizontal", showfliers=False, whis=(5, 95))
        words = [f"{name!s} ({len(groups[name])} cells)" for name in names]
        ax.set_yticks(range(1, len(names) + 1), words, parse_math=False)
        ax.set(xlabel="confidence", ylabel="cluster", xlim=(0, 1.02))
    return ax


def shrinkage(adata: AnnData, key: str = "jojoscl", **shown: Unpack[Shown]) -> Axes:
    """Draw how much of each component of the embedding SURE leaves: 1 is all, 0 is nothing."""
    found = _there(adata, "uns", key)
    kept = np.ravel(found.get("shrinkage", ()) if isinstance(found, Mapping) else ())
    if not kept.size or kept.dtype.kind not in "fiu":
        raise UserError(
            f"adata.uns[{key!r}] has no shrinkage of components: only jojoscl.JojoSCL leaves it."
        )
    with _axes((5, 3), **shown) as ax:
        ax.bar(np.arange(1, len(kept) + 1), kept)
        ax.set(xlabel="component", ylabel="factor 1 − 1/λ", ylim=(0, 1))
    return ax


def tree(adata: AnnData, key: str = "jojoscl", **shown: Unpack[Shown]) -> Axes:
    """Draw the tree of the clusters.

    After :func:`jojoscl.split_tests` it is the tree that was tested: a number is the adjusted p
    value of a split, splits that are not kept are dashed, and behind a cluster's name stands the
    number of its cells in the half of the counts that made the tree.

    Before, it is the tree that :func:`jojoscl.cluster` left, with the cells and the stability of
    each cluster, 0 to 1. A cluster of low stability is arbitrary: other draws divide its cells in
    another way. The first split is the least sure: clusters far apart hardly share a draw.
    """
    tested = isinstance(adata, AnnData) and f"{key}_splits" in adata.uns
    forks = _tested(adata.uns[f"{key}_splits"], key) if tested else _found(adata, key)
    if not forks:
        raise UserError("One cluster has no splits to draw: ask for more clusters.")
    with _axes((7, 1 + 0.35 * (len(forks) + 1)), **shown) as ax:
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

    number: int
    parent: int
    side: str
    leaves: dict[str, str]
    note: str = ""
    kept: bool = True


def _tested(table: object, key: str) -> list[_Fork]:
    """Return the forks of a table of :func:`jojoscl.split_tests`."""
    if (
        not isinstance(table, pd.DataFrame)
        or not set(_SPLITS) <= set(table)
        or not set(table["parent"]) <= {-1, *table["split"]}
    ):
        raise UserError(
            f"adata.uns[{key + '_splits'!r}] is no table of splits: call jojoscl.split_tests."
        )
    forks = []
    for row in table.to_dict("records"):
        leaves = {side: f"{row[side]} ({row[f'n_{side}']} cells)" for side in ("left", "right")}
        note = f"{row['p_adjusted']:.1g}"
        forks.append(_Fork(row["split"], row["parent"], row["side"], leaves, note, row["kept"]))
    return forks


def _found(adata: AnnData, key: str) -> list[_Fork]:
    """Return the forks of the tree of :func:`jojoscl.cluster`, with the names in ``obs[key]``."""
    groups, found = tree_of(adata, key)
    stability = np.ravel(adata.uns[key]["stability"])
    inside = groups >= 0
    labels = found.cut(len(stability))[groups[inside]]
    names = dict(zip(labels, _there(adata, "obs", key)[inside], strict=True))
    cells = np.bincount(labels, minlength=len(stability))
    words = [
        f"{names.get(cluster, cluster)} ({cells[cluster]} cells, stability {stable:.2f})"
        for cluster, stable in enumerate(stability)
    ]
    splits, forks = hierarchy(found, len(stability)), []
    for number, split in enumerate(splits):
        leaves = {"left": words[split.left[0]], "right": words[split.right[0]]}
        forks.append(_Fork(number, split.parent, side_of(split, splits), leaves))
    return forks


def _draw(forks: Sequence[_Fork], ax: Axes) -> list[str]:
    """Draw a tree, the root first, and return the words of its leaves from the bottom up."""
    below = {(fork.parent, fork.side): fork for fork in forks}
    depth = {-1: -1}
    for fork in forks:
        depth[fork.number] = depth[fork.parent] + 1
    leaves: list[str] = []

    def place(fork: _Fork) -> float:
        """Draw a split with all below it; return the height at which its own line begins."""
        x, ends = depth[fork.number], []
        for side, leaf in fork.leaves.items():
            if child := below.get((fork.number, side)):
                ends.append((depth[child.number], place(child)))
            else:
                leaves.append(leaf)
                ends.append((max(depth.values()) + 1, len(leaves) - 1))
        y = (ends[0][1] + ends[1][1]) / 2
        colour, style = ("black", "-") if fork.kept else ("0.6", "--")
        for end_x, end_y in ends:
            ax.plot([x, x, end_x], [y, end_y, end_y], color=colour, ls=style)
        ax.text(x - 0.05, y, fork.note, ha="right", va="bottom", fontsize=8)
        return y

    place(forks[0])
    return leaves


def _there(adata: AnnData, where: str, name: str) -> Any:
    """Return adata.obs[name] or another; if it is missing, say what puts it there."""
    check_anndata(adata)
    if name not in getattr(adata, where):
        raise UserError(
            f"There is no adata.{where}[{name!r}]: call jojoscl.cluster first, or name another key."
        )
    return getattr(adata, where)[name]


@contextmanager
def _axes(size: tuple[float, float], **shown: Unpack[Shown]) -> Iterator[Axes]:
    """Yield `ax`, or the axes of a new figure of this size; show and save it after the block."""
    save = shown.get("save")
    ax = shown.get("ax") or plt.subplots(figsize=size, layout="constrained")[1]
    figure = ax.get_figure(root=True)
    assert figure is not None  # for mypy
    kinds = figure.canvas.get_supported_filetypes()
    if save is not None and Path(str(save)).suffix[1:].lower() not in kinds:
        raise UserError(f"{save} is no picture: let its name end in .{', .'.join(sorted(kinds))}.")
    yield ax
    for text in ax.findobj(Text):
        text.set_parse_math(False)  # a name with dollar signs in it is no formula
    if save is not None:
        try:
            figure.savefig(save, dpi=150, bbox_inches="tight")
        except OSError as error:
            raise unwritable(save, error) or error from error
    if shown.get("show"):
        plt.show()
