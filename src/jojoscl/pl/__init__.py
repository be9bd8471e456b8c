"""Pictures of the results in an AnnData.

Each takes the cells, the `key` of the results or columns, and how the picture is shown:

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
from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes

from jojoscl.pl.axes import Shown, axes
from jojoscl.pl.trees import tree
from jojoscl.tools.annotate import there
from jojoscl.tools.compare import both_of
from jojoscl.tools.layout import umap_coordinates
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import progress

__all__ = ["compare", "confidence", "shrinkage", "tree", "umap"]

FEWEST_OF_UMAP = 4  # cells


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

    The coordinates, by igraph's UMAP, are kept in ``obsm["X_" + key + "_umap"]``. They are made
    anew when the embedding is another, or another seed is asked for. Above 20,000 cells a random
    subset is drawn, and the log says so: the other cells' coordinates are NaN. Coordinates of
    one's own in that place, such as those of ``scanpy.tl.umap``, are drawn as they are.

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
    embedding = np.asarray(there(adata, "obsm", f"X_{key}"))
    color = key if color is None else color
    if not isinstance(color, str) or (color not in adata.obs and color not in adata.var_names):
        raise UserError(f"There is no column and no gene {color!r}: give one to color by.")
    with progress("umap", ["neighbors", "layout"], progress_bar):
        _keep_coordinates(adata, key, embedding, seed)
    with axes((6.4, 4.8), ax=ax, show=show, save=save) as on:
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


def confidence(adata: AnnData, key: str = "jojoscl", **shown: Unpack[Shown]) -> Axes:
    """Draw the confidence of each cluster's cells as boxes, the least sure at the top.

    Cells without a cluster or without a confidence are left out.
    """
    cells = pd.DataFrame(
        {
            "value": np.asarray(there(adata, "obs", f"{key}_confidence"), dtype=float),
            "cluster": np.asarray(there(adata, "obs", key)),
        }
    ).dropna()
    groups = dict(list(cells.groupby("cluster")["value"]))
    if not groups:
        raise UserError(f"No cell has a confidence in adata.obs[{key + '_confidence'!r}].")
    names = sorted(groups, key=lambda name: -groups[name].median())
    with axes((5, 1 + 0.28 * len(names)), **shown) as ax:
        boxes = [groups[name] for name in names]
        ax.boxplot(boxes, orientation="horizontal", showfliers=False, whis=(5, 95))
        words = [f"{name!s} ({len(groups[name])} cells)" for name in names]
        ax.set_yticks(range(1, len(names) + 1), words, parse_math=False)
        ax.set(xlabel="confidence", ylabel="cluster", xlim=(0, 1.02))
    return ax


def compare(adata: AnnData, one: str, other: str, **shown: Unpack[Shown]) -> Axes:
    """Draw the share of each group of `one` that is in each group of `other`, columns of `obs`.

    A row is a group of `one` and sums to 1; columns stand where rows have their largest share.
    """
    a, b = both_of(adata, one, other)
    shares = pd.crosstab(a, b, normalize="index")
    rows = sorted(shares.index, key=lambda word: word.zfill(9))
    shares = shares.loc[rows]
    shares = shares.iloc[:, np.argsort(shares.to_numpy().argmax(0), kind="stable")]
    with axes((2.5 + 0.4 * shares.shape[1], 1.5 + 0.3 * len(rows)), **shown) as ax:
        image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        plt.colorbar(image, ax=ax)
        ax.set_xticks(range(shares.shape[1]), shares.columns, rotation=90, parse_math=False)
        ax.set_yticks(range(len(rows)), rows, parse_math=False)
        ax.set(xlabel=other, ylabel=one)
    return ax


def shrinkage(adata: AnnData, key: str = "jojoscl", **shown: Unpack[Shown]) -> Axes:
    """Draw how much of each component of the embedding SURE leaves: 1 is all, 0 is nothing."""
    kept = there(adata, "uns", key).get("shrinkage")
    if kept is None:
        raise UserError(
            f"adata.uns[{key!r}] has no shrinkage of components: only jojoscl.JojoSCL leaves it."
        )
    with axes((5, 3), **shown) as ax:
        ax.bar(np.arange(1, len(kept) + 1), kept)
        ax.set(xlabel="component", ylabel="factor 1 − 1/λ", ylim=(0, 1))
    return ax
