"""What a cell's confidence is worth: ARI of the cells left when the least certain are dropped.

    python -m experiments confidence --runs runs/table1 runs/benchmark

reads every finished run of the default method, the only one that gives a confidence, on cells whose
types are known, and writes results/confidence.csv and, from it, results/confidence.md and
figures/confidence.png. Without --runs the CSV is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.runs import OURS, finished, read
from experiments.text import markdown, save, write
from jojoscl.core.metrics import scores

WHICH = "folders of the runs; without it the CSV is read"
OPTIONS = {"--runs": {"type": Path, "nargs": "+", "default": (), "help": WHICH}}
KEPT = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


def most_certain(confidence: np.ndarray, share: float) -> np.ndarray:
    """Return the indices of that share of the cells, the most certain first; ties by place."""
    return np.argsort(-confidence, kind="stable")[: max(1, round(share * len(confidence)))]


def of_run(run: pd.Series) -> list[dict[str, object]]:
    """Return a row a share of cells kept."""
    obs = anndata.read_h5ad(Path(run["folder"]) / "result.h5ad").obs
    truth, labels = obs["cell_type"].astype(str).to_numpy(), obs["jojoscl"].astype(str).to_numpy()
    rows: list[dict[str, object]] = []
    for share in KEPT:
        cells = most_certain(obs["jojoscl_confidence"].to_numpy(), share)
        about = {name: run[name] for name in ("dataset", "variant", "seed", "git_commit")}
        rows.append(about | {"kept": share, **scores(truth[cells], labels[cells])})
    return rows


def of_runs(folders: Sequence[Path]) -> pd.DataFrame:
    """Return all rows of the default method's runs below `folders`."""
    how = {"of": f"of method={OURS}", "query": f"method == {OURS!r}"}
    found = [finished(folder, "jojoscl -m experiment=table1", **how) for folder in folders]
    runs = pd.concat(found, ignore_index=True)
    return pd.DataFrame([row for _, run in runs.iterrows() for row in of_run(run)])


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean ARI of all cells and without the least certain tenth, a row a set."""
    ari = table.pivot(index=["dataset", "variant", "seed"], columns="kept", values="ari")
    rows = []
    for (dataset, variant), group in ari.groupby(level=["dataset", "variant"]):
        gain = group[0.9] - group[1.0]
        means = [f"{group[1.0].mean():.3f}", f"{group[0.9].mean():.3f}", f"{gain.mean():+.3f}"]
        rows.append([f"{dataset} {variant}", *means, f"{(gain > 0).sum()} of {len(gain)}"])
    sets = ari.groupby(level=["dataset", "variant"]).mean()
    gain, whole, tenth, half = sets[0.9] - sets[1.0], *(sets[kept].mean() for kept in (1, 0.9, 0.5))
    name = f"mean of {len(sets)} sets; {half:.3f} of the most certain half"
    gained = f"{gain.mean():+.3f} (median {gain.median():+.3f})"
    won = f"{(gain > 0).sum()} sets of {len(gain)}"
    rows.append([name, f"{whole:.3f}", f"{tenth:.3f}", gained, won])
    header = ["Set", "ARI, all cells", "without the least certain tenth", "gain", "seeds that gain"]
    return pd.DataFrame(rows, columns=header)


def curves(table: pd.DataFrame) -> Figure:
    """Draw ARI against the share of cells kept: a thin line a set, and their mean."""
    ari = table.pivot_table("ari", "kept", ["dataset", "variant"])
    dropped = 100 * (1 - ari.index.to_numpy())
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(dropped, ari, color="0.75", linewidth=0.8)
    looks = {"color": "#b2182b", "marker": "o", "linewidth": 2}
    axes.plot(dropped, ari.mean(axis=1), **looks, label=f"mean of {ari.shape[1]} sets")
    axes.set_xlabel("least certain cells dropped (%)")
    axes.set(ylabel="ARI of the cells left", ylim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def make(results: Path, figures: Path, runs: Sequence[Path] = ()) -> None:
    """Write the study's files."""
    source = results / "confidence.csv"
    if runs:
        write(source, of_runs(runs).round(4).to_csv(index=False))
    table = read(source, ("dataset", "variant", "seed", "kept", "ari"))
    write(source.with_suffix(".md"), markdown(shown(table)))
    save(curves(table), figures / "confidence.png")
