"""A run as one HTML file that opens offline: its pictures are within."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from jojoscl import pl
from jojoscl.cells.checks import BATCH, without_labels
from jojoscl.core.interface import Result
from jojoscl.runner import plots
from jojoscl.runner.config import Plain
from jojoscl.runner.resolved import Resolved
from jojoscl.runner.sweep import SCORES, title
from jojoscl.tools.annotate import annotate
from jojoscl.tools.markers import markers
from jojoscl.tools.splits import split_tests
from jojoscl.utils.errors import UserError

KEY = "jojoscl"
N_MARKERS = 8  # of each cluster


def html(
    job: Resolved, cells: AnnData, truth: np.ndarray | None, result: Result, metrics: Plain
) -> str:
    """Return sizes, pictures, tree, markers, settings, seconds and versions as one HTML text.

    For tree and markers the run's method clusters one half of the counts. Where that cannot be, a
    sentence says why.
    """
    adata, seed = without_labels(cells), job.settings.seed
    annotate(adata, KEY, result, metrics["settings"], cells)
    try:
        how = {"method": job.method, "seed": seed, "kind": cells.uns["kind"]}
        how |= {"batch_key": BATCH} if BATCH in adata.obs else {}
        splits, found, problem = split_tests(adata, KEY, **how), markers(adata, KEY, **how), ""
    except UserError as error:
        splits, found, problem = pd.DataFrame(), pd.DataFrame(), str(error)
    scores = [name for name in (*SCORES, "silhouette") if metrics.get(name) is not None]
    drawn = {
        "UMAP of the embedding": lambda: plots.umap(
            result.embedding, result.labels, truth, seed=seed
        )
    } | _pictures(adata, result, splits)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=title(metrics),
        metrics=metrics,
        scores=", ".join(f"{name.upper()} {metrics[name]:.3f}" for name in scores),
        clusters=_table(_clusters(result, truth)),
        stable="stability" in result.uns,
        pictures={
            name: f"data:image/png;base64,{base64.b64encode(png).decode()}"
            for name, draw in drawn.items()
            if (png := plots.tried(name, draw))
        },
        splits=_table(_splits(splits)),
        markers=_table(_markers(found)),
        problem=problem,
        seconds=_table(pd.DataFrame([metrics["seconds"]])),
        settings=OmegaConf.to_yaml(OmegaConf.create(metrics["settings"])),
    )


def _table(table: pd.DataFrame) -> str:
    style: Plain = {"index": False, "border": 0, "justify": "left", "na_rep": ""}
    return str(table.to_html(**style, float_format="{:.2g}".format)) if len(table) else ""


def _pictures(
    adata: AnnData, result: Result, splits: pd.DataFrame
) -> dict[str, Callable[[], bytes]]:
    """Return what draws each picture that there is, by its title."""
    n = len(np.unique(result.labels))
    wanted = {
        "Confidence of the cells": (pl.confidence, 1 + 0.28 * n, "confidence" in result.obs),
        "What SURE leaves of each component": (pl.shrinkage, 3.0, "shrinkage" in result.uns),
        "Tree of the clusters": (pl.tree, 1 + 0.35 * n, len(splits) > 0 or "tree" in result.uns),
    }
    return {
        name: partial(_drawn, draw, adata, height)
        for name, (draw, height, there) in wanted.items()
        if there
    }


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


def _splits(splits: pd.DataFrame) -> pd.DataFrame:
    names = {
        **{"left": "left", "right": "right", "n_left": "cells left", "n_right": "cells right"},
        **{"auc": "AUC", "p": "p", "p_adjusted": "adjusted p", "kept": "kept"},
    }
    return splits.reindex(columns=list(names)).rename(columns=names)


def _markers(found: pd.DataFrame) -> pd.DataFrame:
    """Return the first markers of each cluster that are significant at 5 %."""
    if found.empty:
        return found
    good = found["names"].where((found["pvals_adj"] <= 0.05) & (found["scores"] > 0))
    genes = good.groupby(found["group"], sort=False, observed=True)
    first = genes.agg(lambda names: ", ".join(names.dropna()[:N_MARKERS]) or "none")
    return first.rename("genes").rename_axis("cluster").reset_index()
