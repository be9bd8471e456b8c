"""Pictures of a run."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.figure import Figure

from jojoscl import pl
from jojoscl.utils.seeding import at_most

MOST_CELLS = 50_000


def loss_curves(history: list[dict[str, float]]) -> bytes:
    """Return every loss against the epoch as a PNG."""
    table = pd.DataFrame(history)
    names = table.columns.drop("epoch")
    figure = Figure(figsize=(3 * len(names), 2.6), layout="constrained")
    for axis, name in zip(_axes(figure, len(names)), names, strict=True):
        axis.plot(table["epoch"], table[name], color="C0")
        axis.set(title=name, xlabel="epoch")
    return png(figure)


def umap(
    embedding: np.ndarray, labels: np.ndarray, truth: np.ndarray | None, *, seed: int
) -> bytes:
    """Return the UMAP of an embedding (n, d) as a PNG, coloured by cluster and, where it is known, by annotated type.

    Above 50,000 cells a random subset is drawn.
    """
    shown = at_most(np.arange(len(labels)), MOST_CELLS, seed=seed)
    groups = {"cluster": labels.astype(str)} | ({} if truth is None else {"annotated type": truth})
    adata = AnnData(obs=pd.DataFrame(index=shown.astype(str)), obsm={"X_run": embedding[shown]})
    figure = Figure(figsize=(6.5 * len(groups), 4.2), layout="constrained")
    for axis, (title, group) in zip(_axes(figure, len(groups)), groups.items(), strict=True):
        names = sorted(set(group), key=lambda name: (int(name) if name.isdigit() else -1, name))
        adata.obs[title] = pd.Categorical(group[shown], pd.Index(names, dtype=object))
        pl.umap(
            adata,
            "run",
            title,
            seed=seed,
            ax=axis,
            legend_fontsize=7,
            size=max(1.0, 4000 / len(shown)),
        )
    return png(figure)


def _axes(figure: Figure, n: int) -> np.ndarray:
    return np.atleast_1d(figure.subplots(1, n))


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
