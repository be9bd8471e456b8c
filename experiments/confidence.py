"""What a cell's confidence is worth: ARI of the cells that are left when the least certain ones are dropped.

    python experiments/confidence.py runs/table1      # experiments/results/confidence.{csv,md}, figures/confidence.png

Reads every finished run of the default preset, the only one that gives a confidence, on cells whose types are known.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jojoscl.clustering.metrics import scores
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError, told_in_a_sentence
from jojoscl.utils.files import whole_file

HERE = Path(__file__).parent
KEPT = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


def most_certain(confidence: np.ndarray, share: float) -> np.ndarray:
    """Indices of that share of the cells, the most certain first; ties by their place."""
    return np.argsort(-confidence, kind="stable")[: max(1, round(share * len(confidence)))]


def of_run(run: pd.Series) -> list[dict[str, object]]:
    """A row a share of cells kept."""
    obs = anndata.read_h5ad(Path(run["folder"]) / "result.h5ad").obs
    truth, labels = obs["cell_type"].astype(str).to_numpy(), obs["jojoscl"].astype(str).to_numpy()
    rows: list[dict[str, object]] = []
    for share in KEPT:
        cells = most_certain(obs["jojoscl_confidence"].to_numpy(), share)
        about = {name: run[name] for name in ("dataset", "variant", "seed", "git_commit")}
        rows.append(about | {"kept": share, **scores(truth[cells], labels[cells])})
    return rows


def of_runs(folder: Path) -> pd.DataFrame:
    """All rows of the default preset's runs below `folder`."""
    runs = collect(folder)
    runs = runs[(runs["method"] == "jojoscl") & (runs["preset"] == "default")] if len(runs) else runs
    if runs.empty:
        raise UserError(f"There is no finished run of the default preset below {folder}: jojoscl -m experiment=table1.")
    return pd.DataFrame([row for _, run in runs.iterrows() for row in of_run(run)])


def markdown(table: pd.DataFrame) -> str:
    """A row a set: mean ARI of all cells and without the least certain tenth, and in how many seeds it rose."""
    ari = table.pivot(index=["dataset", "variant", "seed"], columns="kept", values="ari")
    lines = ["| Set | ARI, all cells | without the least certain tenth | gain | seeds that gain |", "|---" * 5 + "|"]
    for (dataset, variant), group in ari.groupby(level=["dataset", "variant"]):
        gain = group[0.9] - group[1.0]
        lines.append(
            f"| {dataset} {variant} | {group[1.0].mean():.3f} | {group[0.9].mean():.3f} | {gain.mean():+.3f} | "
            f"{(gain > 0).sum()} of {len(gain)} |"
        )
    return "\n".join(lines) + "\n"


def curves(table: pd.DataFrame) -> Figure:
    """ARI against the share of cells kept, a line a set, its band the sd over seeds."""
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for (dataset, variant), group in table.groupby(["dataset", "variant"]):
        ari = group.groupby("kept")["ari"].agg(["mean", "std"]).fillna(0)
        dropped = 100 * (1 - ari.index.to_numpy())
        (line,) = axes.plot(dropped, ari["mean"], marker="o", markersize=3, label=f"{dataset} {variant}")
        axes.fill_between(
            dropped, ari["mean"] - ari["std"], ari["mean"] + ari["std"], color=line.get_color(), alpha=0.15
        )
    axes.set(xlabel="least certain cells dropped (%)", ylabel="ARI of the cells left", ylim=(None, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=7)
    return figure


@told_in_a_sentence
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of results/ and figures/")
    arguments = parser.parse_args()
    table = of_runs(arguments.runs)
    with whole_file(arguments.out / "results" / "confidence.csv") as path:
        table.round(4).to_csv(path, index=False)
    with whole_file(arguments.out / "results" / "confidence.md") as path:
        path.write_text(markdown(table))
    with whole_file(arguments.out / "figures" / "confidence.png") as path:
        curves(table).savefig(path, dpi=150)
    print(markdown(table))


if __name__ == "__main__":
    main()
