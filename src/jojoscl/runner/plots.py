"""Pictures of a run."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.figure import Figure, FigureBase

from jojoscl import pl
from jojoscl.utils.seeding import at_most

MOST_CELLS = 50_000
_SYMBOLS = {
    "sigma2": "noise $\\sigma^2_k$",
    "tau2": "spread $\\tau^2_k$",
    "b": "weight on the centroid $b_k$",
    "movement": "movement of the centroids",
    "cosine_gap": "cosine, same cell - other cells",
}


def loss_curves(history: list[dict[str, float]]) -> bytes | None:
    """Return every loss against the epoch as a PNG; None for methods without epochs."""
    table = pd.DataFrame(history)
    if table.empty:
        return None
    names = table.columns.drop("epoch")
    figure = Figure(figsize=(3 * len(names), 2.6), layout="constrained")
    for axis, name in zip(_axes(figure, len(names)), names, strict=True):
        axis.plot(table["epoch"], table[name], color="C0")
        axis.set(title=name, xlabel="epoch")
    return png(figure)


def shrinkage(record: pd.DataFrame) -> bytes | None:
    """Return the rows of a :class:`~jojoscl.training.shrinkage_log.ShrinkageRecord` as a PNG; None without rows.

    Above: sigma2_k, tau2_k, b_k and the centroids' movement (a thin line a cluster, the median thick) and the cosine
    gap against the epoch. Below: distances between centroids.
    """
    if record.empty:
        return None
    curves = [name for name in _SYMBOLS if (record["quantity"] == name).any()]
    distances = dict(list(record[record["quantity"] == "distance"].groupby("epoch")))
    n_rows = 2 if distances else 1
    figure = Figure(figsize=(3 * len(curves), 2.6 * n_rows), layout="constrained")
    rows = figure.subfigures(n_rows, 1, squeeze=False)[:, 0]
    for axis, name in zip(_axes(rows[0], len(curves)), curves, strict=True):
        chosen = record[record["quantity"] == name]
        values = chosen.assign(cluster=chosen["cluster"].astype(float).fillna(0)).pivot_table(
            "value", "epoch", "cluster"
        )
        axis.plot(values, color="C0", linewidth=0.5, alpha=0.4)
        axis.plot(values.median(axis=1), color="C0")
        axis.set(title=_SYMBOLS[name], xlabel="epoch")
    if not distances:
        return png(figure)
    top = max(group["value"].max() for group in distances.values())
    axes = _axes(rows[1], len(distances))
    for axis, (epoch, group) in zip(axes, distances.items(), strict=True):
        image = axis.imshow(_symmetric(group), vmin=0, vmax=top, cmap="viridis")
        title = f"centroids after {epoch + 1} epochs"  # type: ignore[operator]
        axis.set(title=title, xlabel="cluster", ylabel="cluster")
    rows[1].colorbar(image, ax=axes, label="distance")
    return png(figure)


def _symmetric(group: pd.DataFrame) -> np.ndarray:
    i, j = (group[name].to_numpy(int) for name in ("cluster", "other"))
    matrix = np.zeros((j.max() + 1,) * 2)
    matrix[i, j] = matrix[j, i] = group["value"]
    return matrix


def umap(embedding: np.ndarray, labels: np.ndarray, truth: np.ndarray | None, *, seed: int) -> bytes:
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
        pl.umap(adata, "run", title, seed=seed, ax=axis, legend_fontsize=7, size=max(1.0, 4000 / len(shown)))
    return png(figure)


def _axes(figure: FigureBase, n: int) -> np.ndarray:
    return np.atleast_1d(figure.subplots(1, n))


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
