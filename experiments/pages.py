"""Tables inside README.md and docs/, from the committed results: no number is copied by hand.

A page holds `<!-- table results/x.md -->`, or `<!-- table results/x.md # Title -->` for one section
of it, or `<!-- table NAME -->` for one of TABLES, and `<!-- end -->` below. What stands between the
two lines is replaced.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from experiments.runs import HALF_A, OURS, given_k, settings
from experiments.studies import PAGES, studies
from experiments.text import GIVEN, HERE, RESULTS, grid, number, two
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

ROOT = HERE.parent
OWN = "own sizes"
MARKED = re.compile(r"(<!-- table ([\w./]+)(?: # ([^>]+?))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Return the pages that show tables."""
    shown = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [path for path in shown if MARKED.search(path.read_text(encoding="utf-8"))]


def filled(text: str) -> str:
    """Return `text` with its tables as the results have them."""
    return MARKED.sub(lambda found: f"{found[1]}{_table(found[2], found[3])}\n{found[5]}", text)


def _table(source: str, title: str | None) -> str:
    if source in TABLES:
        return TABLES[source]()
    path = HERE / source
    if not path.exists():
        raise UserError(f"A page shows {path}, which is not there: python -m experiments makes it.")
    text = path.read_text(encoding="utf-8")
    if title is not None:
        text = text.partition(f"## {title}\n\n")[2]
    found = re.search(r"^\|.*\|$(?:\n^\|.*\|$)*", text, re.MULTILINE)
    if found is None:
        below = f" below {title!r}" if title else ""
        raise UserError(f"{path} holds no table{below}, and a page shows one.")
    return found[0]


def of_methods() -> str:
    """Return a row a choice of `method=`, from what its configuration says about it."""
    rows = []
    for path in sorted((conf_dir() / "method").glob("*.yaml")):
        found = settings(path.stem)
        assert found is not None
        about = found[0].about
        source = about.citation or "none"
        source = f"[{source}](https://doi.org/{about.doi})" if about.get("doi") else source
        about = [about.summary, source, GIVEN[about.given_k], str(about.minutes)]
        rows.append([f"`{path.stem}`", *about])
    return grid(["`method=`", "What it is", "Source", "K", "Minutes, 4000 cells"], rows)


def of_studies() -> str:
    """Return a row a study, from the head of its page."""
    rows = []
    for name, study in studies().items():
        table = f"results/{name}.md"
        linked = f"[table](../experiments/{table})" if (HERE / table).exists() else ""
        text = f"[text](../experiments/{(PAGES / name).relative_to(HERE)}.md)"
        rows.append([f"`{name}`", study.question, text, linked])
    return grid(["Study", "Question", "What was found", ""], rows)


def of_sure_weight() -> str:
    """Return ARI and dimensions on human brain, a row a form of SURE and a column a weight."""
    runs = pd.read_csv(RESULTS / "sure_weight.csv").query("dataset == 'human_brain'")
    form = runs["setting"].str.extract("sure=([a-z_]+)", expand=False)
    weight = runs["strength"].where(~runs["setting"].str.contains("alpha"), float("inf"))
    groups = runs.assign(form=form, weight=weight).groupby(["form", "weight"])
    means = groups[["ari", "dimensions"]].mean()
    weights = sorted({0.0, *weight})
    rows = []
    for name in ("two_view", "centroid"):
        found = means.loc[name].reindex(weights)
        found.loc[0] = means.loc[("two_view", 0)]  # without SURE there is one form
        rows.append([f"`{name}`: ARI", *map(two, found["ari"])])
        rows.append([f"`{name}`: dimensions", *map("{:.1f}".format, found["dimensions"])])
    texts = ["SURE alone" if weight == float("inf") else f"{weight:,g}" for weight in weights]
    return grid(["Weight", *texts], rows)


def scored_runs() -> pd.DataFrame:
    """Return the runs on the 24 sets, also with uneven types: `method`, `k`, `cells`, `half`."""
    own = pd.read_csv(RESULTS / "benchmark.csv").query("selection == 'last'")
    own = own.assign(k=own["method"].map(given_k).astype(bool))
    unknown = pd.read_csv(RESULTS / "unknown_k.csv").assign(k=False)
    unknown = unknown[~unknown["method"].isin(own.loc[~own["k"], "method"])]
    uneven = pd.read_csv(RESULTS / "uneven.csv")
    uneven = uneven.assign(k=~uneven["setting"].str.contains("n_clusters"), cells="uneven types")
    runs = pd.concat([own.assign(cells=OWN), unknown.assign(cells=OWN), uneven])
    return runs.assign(half=runs["dataset"].isin(HALF_A).map({True: "A", False: "B"}))


def of_halves() -> str:
    """Return the ARI on each half of the sets, a row a method and K; – where a set was not run."""
    runs = scored_runs()
    means = runs.groupby(["k", "method", "cells", "half", "dataset"])["ari"].mean()
    sets = runs.groupby(["cells", "half"])["dataset"].nunique()
    by_half = means.groupby(["k", "method", "cells", "half"]).agg(["mean", "count"])
    whole = by_half["count"] == by_half["count"].index.droplevel(["k", "method"]).map(sets)
    wide = by_half.loc[whole, "mean"].unstack(["cells", "half"])
    columns = [(cells, half) for cells in (OWN, "uneven types") for half in ("B", "A")]
    wide = wide.reindex(columns=columns).sort_values(columns[0], ascending=False)
    rows = [
        [f"`{name}`", GIVEN[k], *map(number, row)]
        for (k, name), row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    header = [f"{cells}, half {half} ({sets[cells, half]} sets)" for cells, half in columns]
    return grid(["Method", "K", *header], rows)


def of_claims() -> str:
    """Return ARI of jojoscl and of the best other method with all sets, a row a kind of cells."""
    rows = []
    for (cells, k, half), runs in scored_runs().groupby(["cells", "k", "half"]):
        means = runs.groupby(["method", "dataset"])["ari"].mean().unstack("method").dropna(axis=1)
        best = means.drop(columns=OURS).mean().idxmax()
        lost = int((means[OURS] < means[best] - 0.01).sum())
        what = f"{cells}, K {'given' if k else 'not given'}, half {half}"
        ari = [number(means[OURS].mean()), f"{number(means[best].mean())} (`{best}`)"]
        rows.append([what, *ari, f"{lost} of {len(means)}"])
    return grid(["Cells", "ARI of `jojoscl`", "of the best other method", "That is ahead on"], rows)


def timed(name: str) -> pd.DataFrame:
    """Return the rows of benchmarks/results/`name`.json."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return pd.DataFrame(json.loads(path.read_text())["rows"])


def of_against() -> str:
    """Return jojoscl beside scanpy, a row a set of cells, from benchmarks/results/against.json."""

    def cell(run: pd.Series) -> str:
        memory = "–" if pd.isna(run["peak_gb"]) else f"{run['peak_gb']:.2f}"
        return f"{run['seconds']:.0f} / {memory} / {number(run['ari'])} ({run['n_clusters']})"

    rows = []
    for name, group in timed("against").groupby("cells", sort=False):
        found = {run["method"]: run for _, run in group.iterrows()}
        ours, theirs = found["jojoscl"], found.get("scanpy")
        beside = ["not run", "–", "–"]
        if theirs is not None:
            beside = [
                cell(theirs),
                *(two(ours[key] / theirs[key]) for key in ("seconds", "peak_gb")),
            ]
        rows.append([f"`{name}`", f"{ours['n_cells']:,}", cell(ours), *beside])
    return grid(["Cells", "Number", "jojoscl", "scanpy", "Seconds, ratio", "Memory, ratio"], rows)


def of_threads() -> str:
    """Return jojoscl's seconds by threads, a row a set, from benchmarks/results/threads.json."""
    runs = timed("threads")
    threads, rows = sorted(set(runs["threads"])), []
    for name, group in runs.groupby("cells", sort=False):
        seconds = group.set_index("threads")["seconds"].reindex(threads)
        same = "the same" if group["labels"].nunique() == 1 else "others"
        gain = f"{seconds.iloc[0] / seconds.iloc[-1]:.2f}"
        rows.append([f"`{name}`", *map("{:.1f}".format, seconds), gain, same])
    names = [f"{n} thread{'s' * (n > 1)}, s" for n in threads]
    return grid(["Cells", *names, "Gain", "Labels"], rows)


def of_rare() -> str:
    """Return how well rare types are found, from benchmarks/results/rare.csv.

    A row a set of cells: processor seconds, memory, ARI, clusters. Below it a row a rare type:
    recall and precision of its best cluster.
    """
    runs = pd.read_csv(ROOT / "benchmarks/results/rare.csv").query("seed == 0")
    methods = list(dict.fromkeys(runs["method"]))
    rows = []

    def add(first: list[str], of: pd.DataFrame, text: str, absent: str) -> None:
        cells = {run["method"]: text.format(**run) for run in of.to_dict("records")}
        rows.append([*first, *(cells.get(method, absent) for method in methods)])

    runs["score"] = runs["ari"].map(number)
    whole = "{processor_seconds:.0f} s, {peak_gb:.1f} GB, {score} ({n_clusters})"
    for name, group in runs.groupby("cells", sort=False):
        add([f"`{name}`", "all"], group, whole, "not run")
        for (size, _), of_type in group.groupby(["n_type", "type"]):
            add(["", f"{size:,}"], of_type, "{recall:.2f} / {precision:.2f}", "–")
    return grid(["Cells", "Of the type", *(f"`{method}`" for method in methods)], rows)


TABLES = {
    "methods": of_methods,
    "studies": of_studies,
    "sure_weight": of_sure_weight,
    "against": of_against,
    "rare": of_rare,
    "threads": of_threads,
    "claims": of_claims,
    "halves": of_halves,
}
