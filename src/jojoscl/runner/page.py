"""A run as one HTML file that opens offline: its pictures are within."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from jinja2 import StrictUndefined, Template
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from jojoscl import pl
from jojoscl.cells.checks import BATCH, without_labels
from jojoscl.core.interface import Result
from jojoscl.runner import plots
from jojoscl.runner.config import Plain, Resolved
from jojoscl.runner.sweep import SCORES, title
from jojoscl.tools.annotate import annotate
from jojoscl.tools.halves import half_clusters
from jojoscl.tools.markers import put_markers
from jojoscl.tools.splits import put_splits
from jojoscl.utils.errors import UserError

KEY = "jojoscl"
N_MARKERS = 8  # of each cluster


def html(
    job: Resolved,
    cells: AnnData,
    truth: np.ndarray | None,
    result: Result,
    metrics: Plain,
    drawn: Mapping[str, bytes],
) -> str:
    """Return sizes, pictures, tree, markers, settings, seconds and versions as one HTML text.

    For tree and markers the run's method clusters one half of the counts. Where that cannot be, a
    sentence says why. `drawn` has the run's own pictures.
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
    n = metrics["n_clusters"]
    wanted: dict[str, tuple[Callable[..., Axes], float, bool]] = {  # what, inches, is there any
        "Confidence of the cells": (pl.confidence, 1 + 0.28 * n, "confidence" in result.obs),
        "What SURE leaves of each component": (pl.shrinkage, 3.0, "shrinkage" in result.uns),
        "Tree of the clusters": (pl.tree, 1 + 0.35 * n, len(splits) > 0 or "tree" in result.uns),
    }
    pictures = {"UMAP of the embedding": drawn["umap.png"]} if "umap.png" in drawn else {}
    pictures |= plots.tried(
        {
            name: partial(_drawn, draw, adata, height)
            for name, (draw, height, there) in wanted.items()
            if there
        }
    )
    text = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    template = Template(text, autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    return template.render(
        title=title(metrics),
        metrics=metrics,
        scores=[name for name in (*SCORES, "silhouette") if metrics.get(name) is not None],
        clusters=_table(_clusters(result, truth)),
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


def _drawn(draw: Callable[..., Axes], adata: AnnData, height: float) -> bytes:
    figure = Figure(figsize=(7, height), layout="constrained")
    draw(adata, KEY, ax=figure.subplots())
    return plots.png(figure)


def _clusters(result: Result, truth: np.ndarray | None) -> pd.DataFrame:
    """Return cells, share, mean confidence, stability and most frequent type of each cluster."""
    cells = pd.DataFrame({"cluster": result.labels, **result.obs})
    groups = cells.groupby("cluster")
    table = groups.size().to_frame("cells")
    table["share"] = table["cells"] / len(cells)
    if "confidence" in cells:
        table["confidence"] = groups["confidence"].mean()
    if "stability" in result.uns:
        table["stability"] = np.asarray(result.uns["stability"])
    if truth is not None:
        shares = pd.crosstab(result.labels, truth, normalize="index")
        table["mostly"], table["share of that type"] = shares.idxmax(axis=1), shares.max(axis=1)
    return table.reset_index()


def _first(found: pd.DataFrame) -> pd.DataFrame:
    """Return the first markers of each cluster that are significant at 5 %."""
    good = found["names"].where((found["pvals_adj"] <= 0.05) & (found["scores"] > 0))
    genes = good.groupby(found["group"], sort=False, observed=True)
    first = genes.agg(lambda names: ", ".join(names.dropna()[:N_MARKERS]) or "none")
    return first.rename("genes").rename_axis("cluster").reset_index()
