"""Pictures of a run."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.figure import Figure

from jojoscl.files import whole_file


def loss_curves(history: list[dict[str, float]], path: Path) -> None:
    """Every loss against the epoch; nothing for methods without epochs."""
    table = pd.DataFrame(history)
    if table.empty:
        return
    names = [name for name in table.columns if name != "epoch"]
    figure = Figure(figsize=(3 * len(names), 2.6), layout="constrained")
    for axis, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        axis.plot(table["epoch"], table[name], color="C0")
        axis.set(title=name, xlabel="epoch")
    _save(figure, path)


def umap(embedding: np.ndarray, labels: np.ndarray, truth: np.ndarray | None, path: Path, *, seed: int) -> None:
    """UMAP of an embedding (n, d), coloured by cluster and, where they are known, by annotated type."""
    points = umap_coordinates(embedding, seed)
    groups = {"cluster": labels.astype(str)} | ({} if truth is None else {"annotated type": truth})
    figure = Figure(figsize=(6.5 * len(groups), 4.2), layout="constrained")
    for axis, (title, group) in zip(np.atleast_1d(figure.subplots(1, len(groups))), groups.items(), strict=True):
        names = sorted(set(group), key=lambda name: (int(name) if name.isdigit() else -1, name))
        colours = sc.pl.palettes.default_20 if len(names) <= 20 else sc.pl.palettes.default_102
        for name, colour in zip(names, colours * (1 + len(names) // len(colours)), strict=False):
            axis.scatter(
                *points[group == name].T,
                s=max(1.0, 4000 / len(points)),
                color=colour,
                label=name,
                linewidths=0,
            )
        axis.set(title=title, xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
        axis.legend(
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            frameon=False,
            fontsize=7,
            markerscale=2,
            ncols=1 + len(names) // 21,
        )
    _save(figure, path)


def umap_coordinates(embedding: np.ndarray, seed: int) -> np.ndarray:
    """UMAP (n, 2) by scanpy's defaults."""
    adata = AnnData(embedding.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap's and numba's words about threads and versions are not for the user
        sc.pp.neighbors(adata, n_neighbors=min(15, len(embedding) - 1), use_rep="X", random_state=seed)
        sc.tl.umap(adata, random_state=seed)
    return np.asarray(adata.obsm["X_umap"])


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
