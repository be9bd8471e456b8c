"""Pictures of a run, as PNG, and its page: one HTML file that opens offline."""

import base64
import io
import logging
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from jinja2 import StrictUndefined, Template
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from jojoscl import pl
from jojoscl.cells.checks import BATCH, LABELS, without_labels
from jojoscl.core.interface import Result
from jojoscl.runner.config import Plain, Resolved
from jojoscl.runner.sweep import SCORES, title
from jojoscl.tools.annotate import annotate
from jojoscl.tools.halves import half_clusters, matching_names
from jojoscl.tools.markers import put_markers
from jojoscl.tools.splits import put_splits
from jojoscl.utils.errors import UserError

log = logging.getLogger(__name__)

KEY = "jojoscl"
COLORS = [*sc.pl.palettes.default_20, *sc.pl.palettes.default_102]
N_MARKERS = 8  # of each cluster


def html(job: Resolved, cells: AnnData, result: Result, metrics: Plain, umap: bytes | None) -> str:
    """Return sizes, pictures, tree, markers, settings, seconds and versions as one HTML text.

    For tree and markers the run's method clusters one half of the counts. Where that cannot be, a
    sentence says why. `umap` is the run's own picture.
    """
    adata = without_labels(cells)
    annotate(adata, KEY, result, metrics["settings"], cells.uns)
    how = {"method": job.method, "seed": job.settings.seed, "kind": cells.uns["kind"]}
    how |= {"batch_key": BATCH} if BATCH in adata.obs else {}
    splits, genes, problem = pd.DataFrame(), pd.DataFrame(), ""
    try:
        half = half_clusters(adata, KEY, **how)
        splits, genes = put_splits(adata, KEY, half), _first(put_markers(adata, KEY, half))
    except UserError as error:
        problem = str(error)
    pictures = {"UMAP of the embedding": umap} if umap else {}
    pictures |= tried(
        {
            "Confidence of the cells": partial(_drawn, adata, pl.confidence),
            "What SURE leaves of each component": partial(_drawn, adata, pl.shrinkage),
            "Tree of the clusters": partial(_drawn, adata, pl.tree),
        }
    )
    text = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    template = Template(text, autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    return template.render(
        title=title(metrics),
        metrics=metrics,
        scores=[name for name in (*SCORES, "silhouette") if metrics.get(name) is not None],
        clusters=_table(_clusters(result, cells.obs)),
        stable="stability" in result.uns,
        pictures={name: base64.b64encode(png).decode() for name, png in pictures.items()},
        splits=_table(splits.drop(columns=["split", "parent", "side"], errors="ignore")),
        markers=_table(genes),
        problem=problem,
        seconds=_table(pd.DataFrame([metrics["seconds"]])),
        settings=OmegaConf.to_yaml(OmegaConf.create(metrics["settings"])),
    )


def _table(table: pd.DataFrame) -> str:
    two_digits = "{:.2g}".format
    return table.to_html(index=False, border=0, justify="left", na_rep="", float_format=two_digits)


def _drawn(adata: AnnData, draw: Callable[[AnnData, str], Axes]) -> bytes:
    draw(adata, KEY)
    figure = plt.gcf()
    plt.close(figure)  # pyplot would keep it
    return png(figure)


def _clusters(result: Result, obs: pd.DataFrame) -> pd.DataFrame:
    """Return cells, share, mean confidence, stability and most frequent type of each cluster."""
    cells = pd.DataFrame({"cluster": result.labels, **result.obs})
    groups = cells.groupby("cluster")
    table = groups.size().to_frame("cells")
    table["share"] = table["cells"] / len(cells)
    if "confidence" in cells:
        table["confidence"] = groups["confidence"].mean()
    if "stability" in result.uns:
        table["stability"] = np.asarray(result.uns["stability"])
    if LABELS in obs:
        shares = pd.crosstab(result.labels, obs[LABELS].to_numpy(str), normalize="index")
        table["mostly"], table["share of that type"] = shares.idxmax(axis=1), shares.max(axis=1)
    return table.reset_index()


def _first(found: pd.DataFrame) -> pd.DataFrame:
    """Return the first markers of each cluster that are significant at 5 %."""
    good = found["names"].where((found["pvals_adj"] <= 0.05) & (found["scores"] > 0))
    genes = good.groupby(found["group"], sort=False, observed=True)
    first = genes.agg(lambda names: ", ".join(names.dropna()[:N_MARKERS]) or "none")
    return first.rename("genes").rename_axis("cluster").reset_index()


def tried(pictures: Mapping[str, Callable[[], bytes]]) -> dict[str, bytes]:
    """Return what is drawn; a picture that fails is a warning: the run matters more."""
    drawn = {}
    for name, draw in pictures.items():
        try:
            drawn[name] = draw()
        except UserError:  # nothing to draw: not every method shrinks, or has a tree
            continue
        except Exception as error:
            log.warning("%s could not be drawn (%r)", name, error)
    return drawn


def loss_curves(history: list[dict[str, float]]) -> bytes:
    """Return every loss against the epoch."""
    table = pd.DataFrame(history).set_index("epoch")
    figure = Figure(figsize=(3 * table.shape[1], 2.6), layout="constrained")
    axes = figure.subplots(1, table.shape[1], squeeze=False)[0]
    for axis, (name, losses) in zip(axes, table.items(), strict=True):
        losses.plot(ax=axis, title=str(name), color="C0")
    return png(figure)


def umap(
    embedding: np.ndarray, labels: np.ndarray, truth: np.ndarray | None, *, seed: int
) -> bytes:
    """Return the UMAP of an embedding (n, d), colored by cluster and, if known, by type.

    A type has the color of the cluster with which it shares most cells, one to one. Above 20,000
    cells a random subset is drawn.
    """
    groups = {"cluster": labels.astype(str)} | ({} if truth is None else {"annotated type": truth})
    once = pl.umap_coordinates(embedding, seed)  # for both pictures
    adata = AnnData(obsm={"X_run": embedding, "X_run_umap": once})
    figure = Figure(figsize=(6.5 * len(groups), 4.2), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    size = np.clip(30_000 / min(len(labels), pl.MOST_CELLS), 2, 60)
    clusters, codes = np.unique(labels, return_inverse=True)
    for axis, (what, group) in zip(axes, groups.items(), strict=True):
        first = map(str, clusters) if what == "cluster" else matching_names(codes, group)
        names = sorted(set(group), key=lambda name: (int(name) if name.isdigit() else -1, name))
        palette = dict(zip(dict.fromkeys([*first, *names]), cycle(COLORS), strict=False))
        adata.obs[what] = pd.Categorical(group, pd.Index(names, dtype=object))
        how = {"legend_fontsize": 7, "size": size, "palette": palette}
        pl.umap(adata, "run", what, ax=axis, **how)
    return png(figure)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
