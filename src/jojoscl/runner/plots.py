"""Pictures of a run, as PNG."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from itertools import cycle

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.figure import Figure

from jojoscl import pl
from jojoscl.tools.halves import matching_names
from jojoscl.utils.seeding import at_most

log = logging.getLogger(__name__)
COLORS = [*sc.pl.palettes.default_20, *sc.pl.palettes.default_102]


def tried(pictures: Mapping[str, Callable[[], bytes]]) -> dict[str, bytes]:
    """Return what is drawn; a picture that fails is a warning: the run matters more."""
    drawn = {}
    for name, draw in pictures.items():
        try:
            drawn[name] = draw()
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[-1]
            log.warning("%s could not be drawn (%s: %s)", name, type(error).__name__, reason)
    return drawn


def loss_curves(history: list[dict[str, float]]) -> bytes:
    """Return every loss against the epoch."""
    table = pd.DataFrame(history)
    names = table.columns.drop("epoch")
    figure = Figure(figsize=(3 * len(names), 2.6), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axis.plot(table["epoch"], table[name], color="C0")
        axis.set(title=name, xlabel="epoch")
    return png(figure)


def umap(
    embedding: np.ndarray, labels: np.ndarray, truth: np.ndarray | None, *, seed: int
) -> bytes:
    """Return the UMAP of an embedding (n, d), colored by cluster and, if known, by type.

    A type has the color of the cluster with which it shares most cells, one to one. Above 20,000
    cells a random subset is drawn.
    """
    shown = at_most(np.arange(len(labels)), pl.MOST_CELLS, seed=seed)
    groups = {"cluster": labels.astype(str)} | ({} if truth is None else {"annotated type": truth})
    adata = AnnData(obs=pd.DataFrame(index=shown.astype(str)), obsm={"X_run": embedding[shown]})
    figure = Figure(figsize=(6.5 * len(groups), 4.2), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    size = np.clip(30_000 / len(shown), 2, 60)
    clusters, codes = np.unique(labels, return_inverse=True)
    for axis, (title, group) in zip(axes, groups.items(), strict=True):
        first = map(str, clusters) if title == "cluster" else matching_names(codes, group)
        names = sorted(set(group), key=lambda name: (int(name) if name.isdigit() else -1, name))
        palette = dict(zip(dict.fromkeys([*first, *names]), cycle(COLORS), strict=False))
        adata.obs[title] = pd.Categorical(group[shown], pd.Index(names, dtype=object))
        how = {"legend_fontsize": 7, "size": size, "palette": palette}
        pl.umap(adata, "run", title, seed=seed, ax=axis, **how)
    return png(figure)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
