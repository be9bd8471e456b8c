"""Pictures of a run."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from matplotlib.figure import Figure

from jojoscl.clustering.graph import neighbor_graph
from jojoscl.utils.seeding import at_most

_MOST_CELLS = 50_000


def loss_curves(history: list[dict[str, float]]) -> bytes:
    """Return every loss against the epoch as a PNG."""
    table = pd.DataFrame(history)
    names = table.columns.drop("epoch")
    figure = Figure(figsize=(3 * len(names), 2.6), layout="constrained")
    for axis, name in zip(_axes(figure, len(names)), names, strict=True):
        axis.plot(table["epoch"], table[name], color="C0")
        axis.set(title=name, xlabel="epoch")
    return _png(figure)


def umap(embedding: np.ndarray, labels: np.ndarray, truth: np.ndarray | None, *, seed: int) -> bytes:
    """Return the UMAP of an embedding (n, d) as a PNG, coloured by cluster and, where it is known, by annotated type.

    Above 50,000 cells a random subset is drawn.
    """
    shown = at_most(np.arange(len(labels)), _MOST_CELLS, seed=seed)
    labels, truth = labels[shown], None if truth is None else truth[shown]
    points = umap_coordinates(embedding[shown], seed)
    groups = {"cluster": labels.astype(str)} | ({} if truth is None else {"annotated type": truth})
    figure = Figure(figsize=(6.5 * len(groups), 4.2), layout="constrained")
    for axis, (title, group) in zip(_axes(figure, len(groups)), groups.items(), strict=True):
        names = sorted(set(group), key=lambda name: (int(name) if name.isdigit() else -1, name))
        colours = sc.pl.palettes.default_20 if len(names) <= 20 else sc.pl.palettes.default_102
        for name, colour in zip(names, colours * (1 + len(names) // len(colours)), strict=False):
            size = max(1.0, 4000 / len(points))
            axis.scatter(*points[group == name].T, s=size, color=colour, label=name, linewidths=0)
        axis.set(title=title, xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
        axis.legend(
            loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7, markerscale=2,
            ncols=1 + len(names) // 21,
        )  # fmt: skip
    return _png(figure)


def umap_coordinates(embedding: np.ndarray, seed: int) -> np.ndarray:
    """Return UMAP coordinates (n, 2) by scanpy's defaults."""
    adata = neighbor_graph(embedding, 15, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as there
        sc.tl.umap(adata, random_state=seed)
    return np.asarray(adata.obsm["X_umap"])


def _axes(figure: Figure, n: int) -> np.ndarray:
    return np.atleast_1d(figure.subplots(1, n))


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
