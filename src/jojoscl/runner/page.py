"""A run as one HTML file that opens offline: its pictures are within."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from jojoscl import pl
from jojoscl.cells.checks import without_labels
from jojoscl.core.interface import Result
from jojoscl.runner import plots
from jojoscl.runner.config import Plain
from jojoscl.runner.registry import build
from jojoscl.runner.sweep import SCORES
from jojoscl.tools.annotate import annotate
from jojoscl.tools.markers import markers
from jojoscl.tools.splits import split_tests
from jojoscl.utils.errors import UserError

KEY = "jojoscl"
N_MARKERS = 8  # of each cluster


def html(
    cfg: DictConfig, cells: AnnData, truth: np.ndarray | None, result: Result, metrics: Plain
) -> str:
    """Return sizes, pictures, tree, markers, settings, seconds and versions of a run as one HTML text.

    For tree and markers the run's method clusters one half of the counts. Where that cannot be, a
    sentence says why.
    """
    adata = without_labels(cells)
    annotate(adata, KEY, result, metrics["settings"], cells)
    n = len(np.unique(result.labels))
    pictures = {
        "UMAP of the embedding": _embedded(
            plots.umap(result.embedding, result.labels, truth, seed=cfg.seed)
        )
    }
    if "confidence" in result.obs:
        pictures["Confidence of the cells"] = _drawn(
            lambda ax: pl.confidence(adata, KEY, ax=ax), 1 + 0.28 * n
        )
    if "shrinkage" in result.uns:
        pictures["What SURE leaves of each component"] = _drawn(
            lambda ax: pl.shrinkage(adata, KEY, ax=ax), 3
        )
    try:
        how = {"method": build(cfg.method), "seed": cfg.seed, "kind": cells.uns["kind"]}
        splits, found, problem = split_tests(adata, KEY, **how), markers(adata, KEY, **how), ""
        if len(splits):
            pictures["Tree of the clusters"] = _drawn(
                lambda ax: pl.tree(adata, KEY, ax=ax), 1 + 0.35 * n
            )
    except UserError as error:
        splits, found, problem = pd.DataFrame(), pd.DataFrame(), str(error)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        metrics=metrics,
        scores={
            name: metrics[name] for name in (*SCORES, "silhouette") if metrics.get(name) is not None
        },
        clusters=_clusters(result, truth),
        pictures=pictures,
        splits=splits.to_dict("records"),
        markers=_first(found),
        problem=problem,
        settings=OmegaConf.to_yaml(OmegaConf.create(metrics["settings"])),
    )


def _clusters(result: Result, truth: np.ndarray | None) -> list[Plain]:
    """Return size, share and median confidence of each cluster, and its most frequent type where types are known."""
    rows = []
    for name in np.unique(result.labels):
        inside = result.labels == name
        row: Plain = {
            "cluster": str(name),
            "cells": int(inside.sum()),
            "share": f"{inside.mean():.1%}",
        }
        if "confidence" in result.obs:
            row["confidence"] = f"{np.median(result.obs['confidence'][inside]):.2f}"
        if truth is not None:
            types, counts = np.unique(truth[inside], return_counts=True)
            row["mostly"] = f"{types[counts.argmax()]} ({counts.max() / counts.sum():.0%})"
        rows.append(row)
    return rows


def _first(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the first markers of each cluster that are significant at 5 %."""
    if table.empty:
        return {}
    good = table[(table["pvals_adj"] <= 0.05) & (table["scores"] > 0)]
    names = dict.fromkeys(table["group"].astype(str))
    return {
        name: list(good["names"][good["group"].astype(str) == name][:N_MARKERS]) for name in names
    }


def _drawn(draw: Callable[[Axes], Axes], height: float) -> str:
    figure = Figure(figsize=(7, height), layout="constrained")
    draw(figure.subplots())
    return _embedded(plots.png(figure))


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
