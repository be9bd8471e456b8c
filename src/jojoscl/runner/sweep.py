"""Tables of runs: one row a run, and what a sweep prints when it ends."""

import html
import json
import logging
import os
import sys
from pathlib import Path

import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from jojoscl.runner.config import Plain
from jojoscl.utils.errors import stop
from jojoscl.utils.files import write_whole

log = logging.getLogger(__name__)

FAILED, PAGE = "failed.txt", "page.html"  # files of a run's folder
SCORES = ("ari", "nmi", "acc", "f1")  # what annotated types, and nothing else, give
MARGINS = (0.05, 0.01)  # of ARI
_KEYS = (
    "dataset", "path", "variant", "method", "selection", "n_clusters_asked", "setting", "strength",
)  # fmt: skip


def title(metrics: Plain) -> str:
    """Return what a reader calls the cells: the dataset, or the name of the user's file."""
    path = metrics.get("path")
    return Path(path).stem if path and metrics["dataset"] == "h5ad" else str(metrics["dataset"])


def collect(folder: Path) -> pd.DataFrame:
    """Return all finished runs below `folder`, one row each.

    A run by selection=oracle adds a row of its last epoch. The column `settings` holds what decides
    a run's result, {dotted name: value}.
    """
    rows = []
    for path in sorted(folder.rglob("metrics.json")):
        try:
            row = _row(json.loads(path.read_text())) | {"folder": str(path.parent)}
        except Exception:  # a file of something else
            log.warning("%s is no metrics of a run: it is left out of the table", path)
            continue
        last = {key: row.pop(f"last_{key}", None) for key in SCORES}
        rows.append(row)
        if last["ari"] is not None:
            rows.append(row | last | {"selection": "last"})
    return pd.DataFrame(rows)


def _row(metrics: Plain) -> Plain:
    """Return the scalars of a metrics.json; an error where it is foreign."""
    flat = pd.json_normalize(metrics.get("settings") or {}).to_dict("records")
    return {key: value for key, value in metrics.items() if not isinstance(value, dict | list)} | {
        "seconds": float(metrics["seconds"]["total"]),
        "seconds_method": metrics["seconds"].get("method"),
        "settings": {name: str(value) for one in flat for name, value in one.items()},
    }


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean scores and seconds over seeds; each other difference of two runs is a column."""
    by = [name for name in _KEYS if name in runs and runs[name].notna().any()]
    settings = pd.DataFrame(list(runs["settings"]), index=runs.index)
    settings = settings.drop(columns="seed", errors="ignore")
    for name in map(str, settings):
        if (settings.groupby([runs[key] for key in by], dropna=False)[name].nunique() > 1).any():
            runs = runs.assign(**{name: settings[name]})
            by.append(name)
    values = [name for name in (*SCORES, "seconds") if name in runs]
    groups = runs.astype(dict.fromkeys(values, float)).groupby(by, dropna=False, sort=False)
    table = groups[values].mean()
    table.insert(0, "runs", groups.size())
    return table.reset_index()


def comparison(runs: pd.DataFrame, wanted: str) -> str:
    """Return in words how `wanted`, or else the best method, compares with the others by ARI.

    Only runs that no label chose are compared.
    """
    scored = runs[runs["selection"] == "last"].dropna(subset="ari")
    means = scored.astype({"ari": float}).pivot_table("ari", "dataset", "method")
    if len(means.columns) < 2:
        return "One method was scored: nothing to compare."
    reference = reference_of(means, wanted)
    table = paired(means, reference).to_string(float_format=lambda x: f"{x:.3f}")
    head = f"ARI of {reference} minus that of each method, means over seeds, each set one pair:"
    return f"{head}\n{table}"


def paired(means: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return how far `reference` is ahead of each other method, over the sets that both have.

    Parameters
    ----------
    means
        A row a set, a column a method; NaN where no run finished.

    Returns
    -------
    A row a method that shares a set: `sets`, `difference` (mean of `reference` minus the method),
    `ahead_0.05`, `behind_0.05` (sets that differ by the margin or more), the same for 0.01, and `p`
    of Wilcoxon's signed-rank test, two-sided.
    """
    rows = {}
    for name in means.columns.drop(reference):
        differences = (means[reference] - means[name]).dropna().round(9)  # so that equal ones tie
        if differences.empty:
            continue
        rows[name] = {"sets": len(differences), "difference": differences.mean()}
        for margin in MARGINS:
            rows[name][f"ahead_{margin}"] = (differences >= margin).sum()
            rows[name][f"behind_{margin}"] = (differences <= -margin).sum()
        rows[name]["p"] = signed_rank(differences)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def signed_rank(differences: pd.Series) -> float:
    """Return Wilcoxon's two-sided p; 1 where nothing differs, for which scipy has none."""
    from scipy import stats

    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def reference_of(means: pd.DataFrame, wanted: str) -> str:
    """Return `wanted` where it has a result, else the method with the best mean."""
    return wanted if wanted in means and means[wanted].notna().any() else str(means.mean().idxmax())


class SweepSummary(Callback):
    """Print the table, its page and what failed after a sweep; exit code 1 if a job failed.

    A `reference` is compared with each other method over the sets; `says` stands below the table.
    """

    def __init__(self, reference: str | None = None, says: str = "") -> None:
        self.reference, self.says = reference, says

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Refuse several devices, whose processes would each do all jobs."""
        if config.trainer.devices > 1:
            stop("A sweep trains on one device: leave out -m, or trainer.devices.", "jojoscl")
        self.earlier = _failures(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Print the table and the failures."""
        folder = Path(config.hydra.sweep.dir)
        try:
            runs = collect(folder)
            if not runs.empty:
                _show(runs, folder, self.says)
            if self.reference and not runs.empty:
                print(f"\n{comparison(runs, self.reference)}")
        except Exception as error:  # which Hydra would swallow together with the failed jobs
            log.warning("There is no table of %s (%r)", folder, error)
        failed = sorted(_failures(folder).items() - self.earlier.items())
        for path, _ in failed:
            print(f"\nFailed: {path.parent}: {path.read_text(errors='replace').strip()}")
        if failed:
            sys.exit(1)


def _show(runs: pd.DataFrame, folder: Path, says: str) -> None:
    """Print the table; write it to a page with the pages and pictures of the runs."""
    table = summary(runs).astype(object)
    table, number = table.where(table.notna(), ""), "{:.3f}".format
    print("\n" + table.to_string(index=False, float_format=number))
    print(f"\n{says}" if says else "")
    parts = [
        '<!DOCTYPE html><meta charset="utf-8"><title>Runs</title>',
        table.to_html(index=False, border=0, float_format=number),
        f"<p>{html.escape(says)}</p>",
    ]
    for run in map(Path, dict.fromkeys(runs["folder"])):
        where = html.escape(os.path.relpath(run, folder))
        if (run / PAGE).exists():
            parts.append(f'<h3><a href="{where}/{PAGE}">{where}</a></h3>')
        if (run / "umap.png").exists():
            parts.append(f'<p>{where}<br><img src="{where}/umap.png" width="640"></p>')
    write_whole(folder / "index.html", "\n".join(parts))
    print(f"Table and pictures: {folder / 'index.html'}")


def _failures(folder: Path) -> dict[Path, int]:
    """Return when each job below `folder` failed, in ns."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob(FAILED) if path.is_file()}
