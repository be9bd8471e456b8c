"""Pictures of the results in an AnnData. Each draws on `ax`, or on a figure of its own, and returns the Axes.

``save="clusters.png"`` also writes the figure, and ``show=True`` opens a window where Python can.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes

from jojoscl.utils.errors import UserError

__all__ = ["confidence", "shrinkage", "tree", "umap"]


def umap(
    adata: AnnData,
    key: str = "jojoscl",
    color: str | None = None,
    *,
    seed: int = 0,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
    **scanpy: object,
) -> Axes:
    """Draw the UMAP of the embedding ``obsm["X_" + key]``, coloured by the clusters or by `color`, as scanpy does it.

    The coordinates, by scanpy's defaults, are kept in ``obsm["X_" + key + "_umap"]`` and taken from
    there.

    Parameters
    ----------
    color
        A column of `obs` or a gene; None is `key`.
    seed
        Of the coordinates.
    **scanpy
        Whatever ``scanpy.pl.embedding`` takes, such as ``palette=``, ``size=`` or ``legend_loc="on
        data"``.
    """
    embedding, basis, color = _there(adata, "obsm", f"X_{key}"), f"X_{key}_umap", color or key
    if color not in adata.obs and color not in adata.var_names:
        raise UserError(
            f"There is no column and no gene {color!r} to colour by: give color= one that is there."
        )
    if basis not in adata.obsm:
        adata.obsm[basis] = umap_coordinates(np.asarray(embedding), seed)
    ax = ax or plt.subplots(layout="constrained")[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of matplotlib, for scanpy
        sc.pl.embedding(adata, basis, color=color, ax=ax, show=False, **scanpy)
    ax.set(xlabel="UMAP 1", ylabel="UMAP 2")
    return _finished(ax, show, save)


def umap_coordinates(embedding: np.ndarray, seed: int) -> np.ndarray:
    """Return UMAP coordinates (n, 2) by scanpy's defaults."""
    adata = AnnData(embedding.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's and umap's words are not for the user
        n_neighbors = min(15, len(embedding) - 1)
        sc.pp.neighbors(adata, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
        sc.tl.umap(adata, random_state=seed)
    return np.asarray(adata.obsm["X_umap"])


def confidence(
    adata: AnnData,
    key: str = "jojoscl",
    *,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the confidence of each cluster's cells, ``obs[key + "_confidence"]``, as boxes: least sure at the top."""
    values = pd.Series(np.asarray(_there(adata, "obs", f"{key}_confidence")))
    groups = dict(list(values.groupby(np.asarray(_there(adata, "obs", key)))))
    names = sorted(groups, key=lambda name: -groups[name].median())
    ax = ax or plt.subplots(figsize=(5, 1 + 0.28 * len(names)), layout="constrained")[1]
    ax.boxplot(
        [groups[name] for name in names], orientation="horizontal", showfliers=False, whis=(5, 95)
    )
    ax.set_yticks(
        range(1, len(names) + 1), [f"{name} ({len(groups[name])} cells)" for name in names]
    )
    ax.set(xlabel="confidence", ylabel="cluster", xlim=(0, 1.02))
    return _finished(ax, show, save)


def shrinkage(
    adata: AnnData,
    key: str = "jojoscl",
    *,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw how much of each component of the embedding SURE leaves: 1 is all, 0 nothing (``uns[key]["shrinkage"]``)."""
    kept = np.asarray(_there(adata, "uns", key).get("shrinkage", ()))
    if not kept.size:
        raise UserError(
            f"adata.uns[{key!r}] has no shrinkage of components: only jojoscl.JojoSCL leaves it."
        )
    ax = ax or plt.subplots(figsize=(5, 3), layout="constrained")[1]
    ax.bar(np.arange(1, len(kept) + 1), kept)
    ax.set(xlabel="component", ylabel="factor $1 - 1/\\lambda$", ylim=(0, 1))
    return _finished(ax, show, save)


def tree(
    adata: AnnData,
    key: str = "jojoscl",
    *,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the tree of :func:`jojoscl.split_tests` with adjusted p values; splits that are not kept are dashed.

    Behind a cluster's name stands how many cells it has in the half of the counts that the tree is
    made of.
    """
    table = _there(adata, "uns", f"{key}_splits", "split_tests")
    if not len(table):
        raise UserError(
            "One cluster has no splits to draw: ask jojoscl.split_tests for more clusters."
        )
    rows = table.to_dict("records")
    of_side = {frozenset(f"{row['left']} + {row['right']}".split(" + ")): row for row in rows}
    depth = {-1: -1}
    for row in rows:
        depth[row["split"]] = depth[row["parent"]] + 1
    leaves: list[str] = []
    ax = ax or plt.subplots(figsize=(7, 1 + 0.35 * (len(table) + 1)), layout="constrained")[1]

    def place(side: str, n_cells: int) -> tuple[float, float]:
        row = of_side.get(frozenset(side.split(" + ")))
        if row is None:
            leaves.append(f"{side} ({n_cells} cells)")
            return max(depth.values()) + 1, len(leaves) - 1
        ends = [place(row[end], row[f"n_{end}"]) for end in ("left", "right")]
        x, y = depth[row["split"]], (ends[0][1] + ends[1][1]) / 2
        colour, style = ("black", "-") if row["kept"] else ("0.6", "--")
        for end_x, end_y in ends:
            ax.plot([x, x, end_x], [y, end_y, end_y], color=colour, ls=style)
        ax.text(x - 0.05, y, f"{row['p_adjusted']:.1g}", ha="right", va="bottom", fontsize=8)
        return x, y

    place(f"{rows[0]['left']} + {rows[0]['right']}", 0)
    ax.set_yticks(range(len(leaves)), leaves)
    ax.yaxis.tick_right()
    ax.set(xticks=[], xlim=(-0.8, None), title="adjusted p of each split")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return _finished(ax, show, save)


def _there(adata: AnnData, where: str, name: str, call: str = "cluster") -> pd.DataFrame:
    """Return adata.obs[name] or another, or a :class:`UserError` that says which call puts it there."""
    if not isinstance(adata, AnnData):
        raise UserError(f"adata must be an AnnData, not {type(adata).__name__}.")
    if name not in getattr(adata, where):
        raise UserError(
            f"There is no adata.{where}[{name!r}]: call jojoscl.{call} first, or name another key."
        )
    return getattr(adata, where)[name]


def _finished(ax: Axes, show: bool, save: str | Path | None) -> Axes:
    if save:
        figure = ax.get_figure(root=True)
        assert figure is not None  # for mypy
        figure.savefig(save, dpi=150, bbox_inches="tight")
    if show:
        plt.show()
    return ax
