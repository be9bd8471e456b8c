"""The tree of the clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from jojoscl.pl.axes import Shown, axes
from jojoscl.tools.annotate import there
from jojoscl.tools.cut import tree_of
from jojoscl.tools.tree import hierarchy
from jojoscl.utils.errors import UserError


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
    forks = _tested(adata.uns[f"{key}_splits"]) if tested else _found(adata, key)
    if not forks:
        raise UserError("One cluster has no splits to draw: ask for more clusters.")
    with axes((7, 1 + 0.35 * (len(forks) + 1)), **shown) as ax:
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


def _tested(table: pd.DataFrame) -> list[_Fork]:
    """Return the forks of a table of :func:`jojoscl.split_tests`."""
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
    names = dict(zip(labels, there(adata, "obs", key)[inside], strict=True))
    cells = np.bincount(labels, minlength=len(stability))
    words = [
        f"{names.get(cluster, cluster)} ({cells[cluster]} cells, stability {stable:.2f})"
        for cluster, stable in enumerate(stability)
    ]
    forks = []
    for number, split in enumerate(hierarchy(found, len(stability))):
        leaves = {"left": words[split.left[0]], "right": words[split.right[0]]}
        forks.append(_Fork(number, split.parent, split.side, leaves))
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
