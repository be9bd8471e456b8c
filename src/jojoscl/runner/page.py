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
        seconds=_table(pd.DataFrame([metrics["seconds"]]).round(2)),
        settings=OmegaConf.to_yaml(OmegaConf.create(metrics["settings"])),
    )


def _table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0, justify="left", na_rep="") if len(table) else ""


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

    def drawn(draw: Callable[..., Axes], height: float) -> bytes:
        figure = Figure(figsize=(7, height), layout="constrained")
        draw(adata, KEY, ax=figure.subplots())
        return plots.png(figure)

    return {
        name: lambda draw=draw, height=height: drawn(draw, height)  # type: ignore[misc]
        for name, (draw, height, there) in wanted.items()
        if there
    }


def _clusters(result: Result, truth: np.ndarray | None) -> pd.DataFrame:
    """Return cells, share, mean confidence, stability and most frequent type of each cluster."""
    cells = pd.DataFrame({"cluster": result.labels, **result.obs})
    if truth is not None:
        cells["type"] = truth
    groups = cells.groupby("cluster")
    table = groups.size().to_frame("cells")
    table["share"] = [f"{share:.1%}" for share in table["cells"] / len(cells)]
    if "confidence" in cells:
        table["confidence"] = groups["confidence"].mean().map("{:.2f}".format)
    if (stability := result.uns.get("stability")) is not None:
        table["stability"] = [f"{stable:.2f}" for stable in np.asarray(stability)]
    if truth is not None:
        shares = groups["type"].value_counts(normalize=True).groupby("cluster").head(1)
        names = shares.index.get_level_values("type")
        table["mostly"] = [f"{n} ({s:.0%})" for n, s in zip(names, shares, strict=True)]
    return table.reset_index()


def _splits(splits: pd.DataFrame) -> pd.DataFrame:
    if splits.empty:
        return splits
    return pd.DataFrame(
        {
            "left": splits["left"],
            "right": splits["right"],
            "cells": [
                f"{a} | {b}" for a, b in zip(splits["n_left"], splits["n_right"], strict=True)
            ],
            "AUC": splits["auc"].map("{:.2f}".format),
            "p": splits["p"].map("{:.1g}".format),
            "adjusted p": splits["p_adjusted"].map("{:.1g}".format),
            "kept": splits["kept"].map({True: "yes", False: "no"}),
        }
    )


def _markers(found: pd.DataFrame) -> pd.DataFrame:
    """Return the first markers of each cluster that are significant at 5 %."""
    if found.empty:
        return found
    good = found[(found["pvals_adj"] <= 0.05) & (found["scores"] > 0)]
    names = {
        name: ", ".join(good["names"][good["group"].astype(str) == name][:N_MARKERS]) or "none"
        for name in dict.fromkeys(found["group"].astype(str))
    }
    return pd.DataFrame({"cluster": list(names), "genes": list(names.values())})
