"""Many sets by several methods: means, paired statistics and pictures, each set one observation.

    jojoscl -m experiment=benchmark                        # the 24 sets of the README
    python -m experiments collection runs/benchmark

    jojoscl -m experiment=collection 'data.path=DIR/*.h5ad'  # labelled h5ad files of your own
    python -m experiments collection runs/collection --results out --figures out

writes NAME.csv, one row a run, NAME.md beside it and three pictures, NAME*.png, NAME that of the
folder of the runs. In place of a folder it takes such a CSV, and without either the README's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments.collect import MERGE, keep, tidy
from experiments.compare import compare, complete, holm
from experiments.failures import failed_runs
from experiments.figures import OTHER, STYLE, behind, dots, markers
from experiments.runs import AS_TEXT, FLOOR, HALF_A, KEYS, OURS, finished, given_k, recorded
from experiments.tables import METRICS, RANKS, check_scored, label_free, scored, scores, summarise
from experiments.text import (
    GIVEN,
    Section,
    columns,
    number,
    probability,
    save,
    signed,
    two,
    write_page,
)
from jojoscl.runner.sweep import MARGINS, paired, reference_of
from jojoscl.utils.errors import UserError

BENCHMARK = "benchmark"  # the README's table: results/benchmark.csv
SHOWN = ("ari", "nmi", "f1")
APART = 0.02  # mean and median of a set's runs that differ by more are shown side by side
SOURCE = f"folder of the runs, or a CSV made of them; results/{BENCHMARK}.csv if not given"
REFERENCE = f"method that the others are compared with; {OURS}, or else the best"
OPTIONS = {
    "source": {"type": Path, "nargs": "?", "help": SOURCE},
    "--merge": MERGE,
    "--reference": {"help": REFERENCE},
}
HALVES = (
    "The two halves of the sets were drawn before the first trial on uneven types. The rule that "
    "makes clusters was chosen with half A at hand, and half B judges it. What was kept lies "
    "between the rules that each half alone would have chosen, and the embedding was chosen on all "
    "sets."
)
SCORES_NOTE = (
    "Mean ± sd over {} seeds; another number of seeds is raised (n=...). Best bold, second "
    "underlined. – failed or not run; an average over fewer sets says so and does not compete."
)


def gather(folder: Path) -> pd.DataFrame:
    """Return the runs below `folder` without a change that no label chose, with their versions.

    Raises
    ------
    UserError
        There is none.
    """
    runs = finished(folder, "jojoscl -m experiment=collection makes them")
    versions = [", ".join(map(" ".join, (of or {}).items())) for of in recorded(runs, "versions")]
    table = tidy(runs).assign(versions=versions)
    table = table[table["setting"].isna() & (table["selection"] == "last")]
    return table.sort_values(KEYS, ignore_index=True)


def by_set(summary: pd.DataFrame, metric: str) -> Section:
    """Return the means of a metric, a row a set and a column a method; the best is bold."""
    usual = int(summary["n"].mode().max())
    table = scores(summary[summary["metric"] == metric], usual)
    table = table.drop(columns=["Selected by", "K"]).set_index("Method").T.reset_index(names="Set")
    return Section(METRICS[metric], table, SCORES_NOTE.format(usual))


def by_margin(margin: float) -> str:
    """Return the title of :func:`tally`."""
    return f"Ahead / tied / behind by {number(margin).rstrip('0')}"


def tally(table: pd.DataFrame, margin: float) -> pd.Series:
    """Return on how many sets the reference is ahead, tied and behind, by what `paired` gives."""
    ahead, behind = table[f"ahead_{margin}"], table[f"behind_{margin}"]
    three = pd.concat([ahead, table["sets"] - ahead - behind, behind], axis=1)
    return three.map("{:.0f}".format).agg(" / ".join, axis=1)


def at_a_glance(means: Mapping[str, pd.DataFrame], reference: str) -> Section:
    """Return the means of each method, the best first, and how far the reference is ahead of it."""
    names = means["ari"].mean().sort_values(ascending=False).index
    n_sets = means["ari"][names].count()
    shown = pd.DataFrame({"Method": [f"`{name}`" for name in names]}, index=names)
    shown["K"] = [GIVEN[given_k(name)] for name in names]
    shown["Sets"] = n_sets.astype(str)
    for metric in SHOWN:  # no mean over other sets than those of the ARI
        found = means[metric].reindex(columns=names)
        shown[METRICS[metric]] = found.mean().where(found.count() == n_sets).map(number)
    against = [f"{reference} minus it", by_margin(MARGINS[0]), "Holm p"]
    shown[against] = ""
    table = paired(means["ari"], reference)
    if len(table):
        p = holm(table["p"]).map(probability)
        cells = [table["difference"].map(signed), tally(table, MARGINS[0]), p]
        shown.loc[table.index, against] = pd.concat(cells, axis=1).to_numpy()
    note = (
        "Means over the sets that a method has, each set its mean over seeds (– some lack the "
        f"score); {reference} minus the method in ARI, over the sets that both have, and "
        "Wilcoxon's signed-rank test, corrected for the number of methods."
    )
    return Section("At a glance", shown, note)


def by_half(means: Mapping[str, pd.DataFrame]) -> Section:
    """Return ARI and macro F1 of each method on each half of the sets, the best on half B first."""
    inside = means["ari"].index.isin(HALF_A)
    halves = {"B": ~inside, "A": inside}
    table = pd.DataFrame({
        f"{METRICS[metric]}, half {half}": means[metric].loc[chosen].mean()
        for metric in ("ari", "f1") for half, chosen in halves.items()
    })  # fmt: skip
    shown = table.sort_values("ARI, half B", ascending=False).map(number)
    shown.insert(0, "Method", [f"`{name}`" for name in shown.index])
    shown.insert(1, "K", [GIVEN[given_k(name)] for name in shown.index])
    names = [f"{half}: {', '.join(means['ari'].index[of])}" for half, of in halves.items()]
    return Section("By halves of the sets", shown, f"{HALVES} {'; '.join(names)}.")


def of_two_minds(runs: pd.DataFrame) -> Section:
    """Return the ARI of the runs whose mean and median are apart: a mean hides two answers."""
    groups = runs.groupby(["dataset", "method"])["ari"]
    table = groups.agg(["mean", "median", "min", "max", "count"]).reset_index()
    table = table[(table["mean"] - table["median"]).abs() > APART]
    shown = columns(table, {
        "dataset": ("Set", str), "method": ("Method", "`{}`".format), "mean": ("Mean", number),
        "median": ("Median", number), "min": ("Lowest", number), "max": ("Highest", number),
        "count": ("Seeds", str),
    })  # fmt: skip
    note = f"ARI over seeds where mean and median differ by more than {two(APART)}."
    return Section("Where seeds give two answers", shown, note)


def over_sets(means: pd.DataFrame, metric: str, reference: str, what: str = "method") -> Section:
    """Return how the reference compares with each other column of `means`, a `what` each."""
    title = f"{METRICS[metric]} of {reference} against each {what}"
    if len(means.columns) < 2:
        return Section(title, pd.DataFrame(), "One method was scored: nothing to compare.")
    table = paired(means, reference)
    shown = pd.DataFrame({what.capitalize(): table.index}, index=table.index)
    shown["Sets"] = table["sets"].astype(int).astype(str)
    shown["Difference"] = table["difference"].map(signed)
    for margin in MARGINS:
        shown[by_margin(margin)] = tally(table, margin)
    shown["Wilcoxon p"] = table["p"].map(probability)
    shown["Holm p"] = holm(table["p"]).map(probability)
    note = (
        f"{reference} minus the {what}, paired by set (means over seeds), over the sets that both "
        "have; Wilcoxon's signed-rank test, two-sided, and the same corrected for the number of "
        f"{what}s (Holm)."
    )
    result = compare(means, reference)
    if not result.table.empty:
        ranks, nemenyi = (result.table[name] for name in ("rank", "p_nemenyi"))
        shown["Mean rank"] = ranks.map("{:.2f}".format).reindex(table.index, fill_value="–")
        shown["Nemenyi p"] = nemenyi.reindex(table.index).map(probability)
        note += (
            f" Mean ranks (1 is best; {reference}: {ranks[reference]:.2f}) are of the "
            f"{len(result.means)} sets that all {len(ranks)} have: Friedman χ² = "
            f"{result.friedman[0]:.1f}, p = {result.friedman[1]:.2g}; differences of ranks below "
            f"{result.critical:.2f} are not significant (Nemenyi, 5%). {result.left_out}"
        )
    return Section(title, shown, note)


def made_with(runs: pd.DataFrame) -> Section:
    """Return the commits, the Python and the versions that made the runs."""
    titles = {"git_commit": "Commit", "python": "Python", "versions": "Versions"}
    made = (
        runs.reindex(columns=list(titles)).astype(object).fillna("unknown").rename(columns=titles)
    )
    counted = made.value_counts().reset_index(name="Runs").astype(str)
    return Section("Made with", counted, "A + after a commit: changed since.")


def profile(means: pd.DataFrame) -> Figure:
    """Draw each method's share of sets whose ARI is near the best (Dolan & Moré 2002)."""
    whole, _ = complete(means)
    margins = -whole.sub(whole.max(axis=1), axis=0)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.add_subplot()
    for name in margins:
        style = {"color": STYLE.get(name, OTHER)[0], "linewidth": 3 if name == OURS else 1.5}
        axis.ecdf(margins[name], label=name, **style)
    axis.set(xlim=(0, 0.5), ylim=(0, 1.02), ylabel=f"Share of {len(whole)} sets within it")
    axis.set_xlabel("Margin: ARI below that of the best method of the set")
    axis.grid(color="0.9", linewidth=0.6)
    axis.legend(loc="lower right", fontsize=8, title=None)
    return figure


def draw(means: Mapping[str, pd.DataFrame], reference: str) -> Figure:
    """Draw a line a set, from its worst method to its best, a dot a method; a panel a metric."""
    first = next(iter(means.values()))
    order = first.sort_values(reference, na_position="first").index
    places = range(len(order))
    figure = Figure(figsize=(9, 1.4 + 0.25 * len(order)), layout="constrained")
    axes = figure.subplots(1, len(means), sharey=True, squeeze=False)[0]
    for axis, (metric, table) in zip(axes, means.items(), strict=True):
        table = table.reindex(order)
        ranked = table.drop(columns=FLOOR, errors="ignore")
        ends = ranked.min(axis=1), ranked.max(axis=1)
        axis.hlines(places, *ends, color="0.8", linewidth=1.5, zorder=1)
        for name in table:
            size = 60 if name == reference else 30
            dots(axis, name, table[name], places, size=size, line=0.3)
        axis.set_yticks(places, table.index)
        axis.set_xlabel(f"{METRICS[metric]}, mean over seeds")
        behind(axis, "x")
    handles = markers(first, str)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def make(
    results: Path,
    figures: Path,
    source: Path | None = None,
    merge: bool = False,
    reference: str | None = None,
) -> None:
    """Write table, statistics and pictures."""
    table = source or results / f"{BENCHMARK}.csv"
    if table.suffix != ".csv":
        folder, table = table, results / f"{table.name}.csv"
        keep(check_scored(gather(folder), table), folder, table, merge)
    runs = scored(table)
    summary = summarise(runs)
    means = {metric: label_free(summary, metric) for metric in SHOWN}
    chosen = reference_of(means["ari"], reference or OURS)
    if reference not in (None, chosen):
        known = ", ".join(means["ari"])
        raise UserError(f"No run of {reference} was scored: --reference is one of {known}.")
    shown = [at_a_glance(means, chosen)]
    shown += [by_half(means)] if set(HALF_A) < set(means["ari"].index) else []
    shown += [over_sets(means[metric], metric, chosen) for metric in SHOWN]
    shown += [by_set(summary, metric) for metric in SHOWN]
    shown += [of_two_minds(runs.query("selection == 'last'"))]
    shown += [failed_runs(table), made_with(pd.read_csv(table, dtype=AS_TEXT))]
    scatter = draw({metric: means[metric] for metric in ("ari", "nmi")}, chosen)
    within = "Share of sets on which a method is within a margin of the best"
    pictures = {
        "": (scatter, "ARI and NMI of each set"),
        "_profile": (profile(means["ari"]), within),
        "_ranks": (compare(means["ari"], chosen).diagram("ARI"), RANKS),
    }
    shows = {}
    for suffix, (figure, what) in pictures.items():
        if figure:
            path = figures / f"{table.stem}{suffix}.png"
            save(figure, path, bbox_inches="tight")
            shows[path] = what
    write_page(shown, table, "collection", shows)
