"""Many sets by several methods: means, paired statistics and pictures, each set one observation.

    jojoscl -m experiment=benchmark                        # the 24 sets of the README
    python -m experiments collection runs/benchmark

    jojoscl -m experiment=collection 'data.path=DIR/*.h5ad'  # labelled h5ad files of your own
    python -m experiments collection runs/collection --results out --figures out

writes NAME.csv, one row a run, NAME.md beside it and three pictures, NAME*.png, NAME that of the
folder of the runs. In place of a folder it takes such a CSV, and without either the README's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments.collect import merged, tidy
from experiments.compare import compare, complete, holm
from experiments.failures import keep_failures
from experiments.figures import OTHER, STYLE, behind, dots, markers
from experiments.runs import FLOOR, HALF_A, KEYS, OURS, given_k
from experiments.tables import (
    GIVEN,
    METRICS,
    RANKS,
    Section,
    check_scored,
    failed_runs,
    label_free,
    number,
    page,
    probability,
    scored,
    scores,
    summarise,
)
from experiments.text import save, write
from jojoscl.runner.sweep import MARGINS, collect, paired, reference_of
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

BENCHMARK = "benchmark"  # the README's table: results/benchmark.csv
SHOWN = ("ari", "nmi", "f1")
APART = 0.02  # mean and median of a set's runs that differ by more are shown side by side
HALVES = (
    "The two halves of the sets were drawn before the first trial on uneven types. The rule that "
    "makes clusters was chosen with half A at hand, and half B judges it. What was kept lies between "
    "the rules that each half alone would have chosen, and the embedding was chosen on all sets."
)
OPTIONS = {
    "source": {
        "type": Path,
        "nargs": "?",
        "help": f"folder of the runs, or a CSV made of them; results/{BENCHMARK}.csv if not given",
    },
    "--merge": {
        "action": "store_true",
        "help": "keep the rows of runs that are not below `source`",
    },
    "--reference": {"help": f"method that the others are compared with; {OURS}, or else the best"},
}


def gather(folder: Path) -> pd.DataFrame:
    """Return the runs below `folder` that nothing was changed in and no label chose, with the versions that made them.

    Raises
    ------
    UserError
        There is none.
    """
    runs = collect(folder)
    if runs.empty:
        raise UserError(
            f"There is no finished run below {folder}: jojoscl -m experiment=collection makes them."
        )
    made_by = [
        json.loads((Path(run) / "metrics.json").read_text()).get("versions", {})
        for run in runs["folder"]
    ]
    versions = [", ".join(map(" ".join, each.items())) for each in made_by]
    table = tidy(runs).assign(versions=versions)
    table = table[table["setting"].isna() & (table["selection"] == "last")]
    return table.sort_values(KEYS, ignore_index=True).round(4)


def by_set(summary: pd.DataFrame, metric: str) -> Section:
    """Return the means of a metric, a row a set and a column a method; the best of a set is bold."""
    usual = int(summary["n"].mode().max())
    table = scores(summary[summary["metric"] == metric], usual)
    table = table.drop(columns=["Selected by", "K"]).set_index("Method").T.reset_index(names="Set")
    note = (
        f"Mean ± sd over {usual} seeds; another number of seeds is raised (n=...). Best bold, second underlined. "
        "– failed or not run; an average over fewer sets says so and does not compete."
    )
    return Section(METRICS[metric], table, note)


def at_a_glance(means: Mapping[str, pd.DataFrame], reference: str) -> Section:
    """Return a row a method, the best first: its means, and how far the reference is ahead of it in ARI."""
    ari = means["ari"]
    table = paired(ari, reference)
    table["holm"] = holm(table["p"]) if len(table) else []
    rows = []
    for name in ari.mean().sort_values(ascending=False).index:
        n_sets = ari[name].count()
        cells = [f"`{name}`", GIVEN[given_k(name)], str(n_sets)]
        for metric in SHOWN:  # a mean over other sets would stand beside it
            scored_sets = means[metric].get(name, pd.Series(dtype=float))
            cells.append(number(scored_sets.mean()) if scored_sets.count() == n_sets else "–")
        if name in table.index:
            one = table.loc[name]
            ahead, behind = int(one[f"ahead_{MARGINS[0]}"]), int(one[f"behind_{MARGINS[0]}"])
            counts = f"{ahead} / {int(one['sets']) - ahead - behind} / {behind}"
            cells += [number(one["difference"], signed=True), counts, probability(one["holm"])]
        rows.append(cells + [""] * (9 - len(cells)))
    against = [
        f"{reference} minus it",
        f"Ahead / tied / behind by {number(MARGINS[0]).rstrip('0')}",
        "Holm p",
    ]
    header = ["Method", "K", "Sets", *(METRICS[metric] for metric in SHOWN), *against]
    note = (
        f"Means over the sets that a method has, each set its mean over seeds (– some lack the score); "
        f"{reference} minus the method in ARI, over the sets that both have, and Wilcoxon's signed-rank test, "
        "corrected for the number of methods."
    )
    return Section("At a glance", pd.DataFrame(rows, columns=header), note)


def by_half(means: Mapping[str, pd.DataFrame]) -> Section:
    """Return ARI and macro F1 of each method on each half of the sets, the best on half B first."""
    halves = {"B": ~means["ari"].index.isin(HALF_A), "A": means["ari"].index.isin(HALF_A)}
    columns = {
        f"{METRICS[metric]}, half {half}": means[metric].loc[chosen].mean()
        for metric in ("ari", "f1")
        for half, chosen in halves.items()
    }
    table = pd.DataFrame(columns).sort_values("ARI, half B", ascending=False)
    shown = table.map(number)
    shown.insert(0, "Method", [f"`{name}`" for name in table.index])
    shown.insert(1, "K", [GIVEN[given_k(name)] for name in table.index])
    names = {half: ", ".join(means["ari"].index[chosen]) for half, chosen in halves.items()}
    note = f"{HALVES} B: {names['B']}; A: {names['A']}."
    return Section("By halves of the sets", shown, note)


def of_two_minds(runs: pd.DataFrame) -> Section:
    """Return mean, median and range of the ARI where mean and median are apart: a mean hides two answers."""
    groups = runs.groupby(["dataset", "method"])["ari"]
    table = groups.agg(["mean", "median", "min", "max", "count"]).reset_index()
    table = table[(table["mean"] - table["median"]).abs() > APART]
    shown = table[["mean", "median", "min", "max"]].map(number)
    shown.columns = ["Mean", "Median", "Lowest", "Highest"]
    shown.insert(0, "Set", table["dataset"])
    shown.insert(1, "Method", "`" + table["method"] + "`")
    shown["Seeds"] = table["count"].astype(str)
    note = f"ARI over seeds where mean and median differ by more than {number(APART, digits=2)}."
    return Section("Where seeds give two answers", shown, note)


def over_sets(means: pd.DataFrame, metric: str, reference: str, what: str = "method") -> Section:
    """Return how the reference compares with each other column of `means`, a `what` each, over the sets of both."""
    title = f"{METRICS[metric]} of {reference} against each {what}"
    if len(means.columns) < 2:
        return Section(title, pd.DataFrame(), "One method was scored: nothing to compare.")
    table = paired(means, reference)
    shown = pd.DataFrame(
        {what.capitalize(): table.index, "Sets": table["sets"].astype(int).astype(str)}
    )
    shown["Difference"] = [number(value, signed=True) for value in table["difference"]]
    for margin in MARGINS:
        counts = zip(table[f"ahead_{margin}"], table[f"behind_{margin}"], strict=True)
        shown[f"Ahead / tied / behind by {number(margin).rstrip('0')}"] = [
            f"{ahead:.0f} / {n - ahead - behind:.0f} / {behind:.0f}"
            for n, (ahead, behind) in zip(table["sets"], counts, strict=True)
        ]
    shown["Wilcoxon p"] = table["p"].map(probability)
    shown["Holm p"] = holm(table["p"]).map(probability)
    note = (
        f"{reference} minus the {what}, paired by set (means over seeds), over the sets that both have; Wilcoxon's "
        f"signed-rank test, two-sided, and the same corrected for the number of {what}s (Holm)."
    )
    result = compare(means, reference)
    if not result.table.empty:
        ranks = result.table["rank"]
        shown["Mean rank"] = [
            f"{ranks[name]:.2f}" if name in ranks else "–" for name in table.index
        ]
        shown["Nemenyi p"] = [
            probability(value) for value in result.table["p_nemenyi"].reindex(table.index)
        ]
        note += (
            f" Mean ranks (1 is best; {reference}: {ranks[reference]:.2f}) are of the {len(result.means)} sets that "
            f"all {len(ranks)} have: Friedman χ² = {result.friedman[0]:.1f}, p = {result.friedman[1]:.2g}; "
            f"differences of ranks below {result.critical:.2f} are not significant (Nemenyi, 5%). {result.left_out}"
        )
    return Section(title, shown, note)


def made_with(runs: pd.DataFrame) -> Section:
    """Return the commits, the Python and the versions that made the runs."""
    shown = {"git_commit": "Commit", "python": "Python", "versions": "Versions"}
    counted = (
        runs.reindex(columns=list(shown))
        .astype(object)
        .fillna("unknown")
        .value_counts()
        .reset_index(name="Runs")
    )
    return Section(
        "Made with", counted.rename(columns=shown).astype(str), "A + after a commit: changed since."
    )


def profile(means: pd.DataFrame) -> Figure:
    """Draw, for each method, the share of sets on which its ARI is within a margin of the best (Dolan & Moré 2002)."""
    whole, _ = complete(means)
    behind = -whole.sub(whole.max(axis=1), axis=0)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.add_subplot()
    for name in behind:
        axis.ecdf(
            behind[name],
            label=name,
            color=STYLE.get(name, OTHER)[0],
            linewidth=3 if name == OURS else 1.5,
        )
    axis.set(
        xlim=(0, 0.5), ylim=(0, 1.02), xlabel="Margin: ARI below that of the best method of the set"
    )
    axis.set_ylabel(f"Share of {len(whole)} sets within it")
    axis.grid(color="0.9", linewidth=0.6)
    axis.legend(loc="lower right", fontsize=8, title=None)
    return figure


def draw(means: dict[str, pd.DataFrame], reference: str) -> Figure:
    """Draw a line a set, from its worst method to its best, a dot a method; a panel a metric."""
    first = next(iter(means.values()))
    order = first.sort_values(reference, na_position="first").index
    figure = Figure(figsize=(9, 1.4 + 0.25 * len(order)), layout="constrained")
    axes = figure.subplots(1, len(means), sharey=True, squeeze=False)[0]
    for axis, (metric, table) in zip(axes, means.items(), strict=True):
        table = table.reindex(order)
        ranked = table.drop(columns=FLOOR, errors="ignore")
        axis.hlines(
            range(len(table)),
            ranked.min(axis=1),
            ranked.max(axis=1),
            color="0.8",
            linewidth=1.5,
            zorder=1,
        )
        for name in table:
            size = 60 if name == reference else 30
            dots(axis, name, table[name], range(len(table)), size=size, line=0.3)
        axis.set_yticks(range(len(table)), table.index)
        axis.set_xlabel(f"{METRICS[metric]}, mean over seeds")
        behind(axis, "x")
    handles = markers(first, str)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def table_of(source: Path, results: Path, merge: bool) -> Path:
    """Return the CSV of `source`, made first where it is a folder of runs."""
    if source.suffix == ".csv":
        return source
    table = results / f"{source.name}.csv"
    runs = check_scored(gather(source), table)
    if merge and table.exists():
        runs = merged(pd.read_csv(table, dtype={"git_commit": str}), runs).sort_values(KEYS)
    with whole_file(table) as temporary:
        runs.to_csv(temporary, index=False)
    failed = keep_failures(source, table, merge)
    print("\n".join([str(table), *("Failed: " + failed["run"] + ": " + failed["reason"])]))
    return table


def make(
    results: Path,
    figures: Path,
    source: Path | None = None,
    merge: bool = False,
    reference: str | None = None,
) -> None:
    """Write table, statistics and pictures."""
    table = table_of(source or results / f"{BENCHMARK}.csv", results, merge)
    runs = scored(table)
    summary = summarise(runs)
    means = {metric: label_free(summary, metric) for metric in SHOWN}
    chosen = reference_of(means["ari"], reference or OURS)
    if reference not in (None, chosen):
        raise UserError(
            f"No run of {reference} was scored: --reference is one of {', '.join(means['ari'])}."
        )
    shown = [at_a_glance(means, chosen)]
    if set(HALF_A) < set(means["ari"].index):
        shown += [by_half(means)]
    shown += [over_sets(means[metric], metric, chosen) for metric in SHOWN]
    shown += [by_set(summary, metric) for metric in SHOWN]
    shown += [of_two_minds(runs.query("selection == 'last'"))]
    shown += [failed_runs(table), made_with(pd.read_csv(table, dtype={"git_commit": str}))]
    scatter = draw({metric: means[metric] for metric in ("ari", "nmi")}, chosen)
    pictures = {
        "": (scatter, "ARI and NMI of each set"),
        "_profile": (
            profile(means["ari"]),
            "Share of sets on which a method is within a margin of the best",
        ),
        "_ranks": (compare(means["ari"], chosen).diagram("ARI"), RANKS),
    }
    shows = {}
    for suffix, (figure, what) in pictures.items():
        if figure:
            path = figures / f"{table.stem}{suffix}.png"
            save(figure, path, bbox_inches="tight")
            shows[path] = what
    write(table.with_suffix(".md"), page(shown, table, "collection", shows))
