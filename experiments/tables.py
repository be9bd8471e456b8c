"""The paper's Table I from this project's own runs, and what they say over datasets.

    python -m experiments tables

From results/table1.csv it writes `table1.md` and `table1_summary.csv` beside it, and the
critical-difference diagram.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from omegaconf import OmegaConf

from experiments import runs as table_of_runs
from experiments.compare import Comparison, compare
from experiments.failures import failures_by_reason
from experiments.runs import FLOOR, OURS, given_k, has_epochs, read, reference, settings, with_sets
from experiments.text import markdown, save, write
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

OPTIONS = {
    "table": {"type": Path, "nargs": "?", "help": "runs; results/table1.csv if not given"},
}
METRICS = {"ari": "ARI", "nmi": "NMI", "acc": "ACC", "f1": "Macro F1"}
COSTS = {"seconds": "Seconds", "peak_memory_mb": "Peak memory in MB"}
RUN = ["dataset", "variant", "method", "selection"]
SUMMARY = [*RUN, "metric", "mean", "sd", "n", "published", "difference"]
FIGURE = "critical_difference.png"
GIVEN = {True: "given", False: "finds", None: "–"}  # by whether a method is given K
MARKS = {1: "**{}**", 2: "<u>{}</u>"}  # the best of a column, and the second
RAISED = "<sup>{}</sup>"
RANKS = "Mean ranks by ARI; methods joined by a bar do not differ significantly"
AVERAGE = "Average"
RELEASED = "jojoscl_released"
FORMS = ("jojoscl_paper", RELEASED)  # stand beside the published JojoSCL, as the default does


@dataclass(frozen=True)
class Section:
    """A table of texts under a title, and what must be known to read it."""

    title: str
    table: pd.DataFrame
    note: str


def scored(path: Path) -> pd.DataFrame:
    """Return the runs of a table that ``collect`` made.

    Raises
    ------
    UserError
        Not such a table, nothing scored in it, or a run that stands in it twice.
    """
    return check_scored(read(path, (*RUN, "seed", *METRICS)), path)


def check_scored(runs: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return `runs`, of `path`, if something is scored in them and none stands twice; see :func:`scored`."""
    if any(not pd.api.types.is_numeric_dtype(runs[name]) for name in METRICS) or runs[
        list(METRICS)
    ].isna().all(axis=None):
        raise UserError(f"{path} has no scored run: ari, nmi and acc must be numbers.")
    twice = runs[runs.duplicated([name for name in table_of_runs.RUN if name in runs])]
    if not twice.empty:
        run = twice.iloc[0]
        raise UserError(
            f"{path} has {run['method']} on {run['dataset']}, seed {run['seed']}, twice: keep one of them."
        )
    return runs


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a set, method, selection and metric: mean and sd over seeds, and the published value."""
    by = [*RUN, "set"]
    long = with_sets(runs).melt(by, list(METRICS), "metric", "score").dropna(subset="score")
    scores = long.groupby([*by, "metric"])["score"]
    table = scores.agg(mean="mean", sd="std", n="size").reset_index()
    paper = reference().melt(["dataset", "method"], var_name="metric", value_name="published")
    paper = pd.concat(
        [paper, *(paper[paper["method"] == OURS].assign(method=form) for form in FORMS)]
    )
    table = table.merge(paper, "left", on=["dataset", "method", "metric"])
    return table.assign(difference=table["mean"] - table["published"])


def in_order(values: Iterable[str], kind: str) -> list[str]:
    """Sort sets (`data`) or methods (`method`) as experiment=table1 lists them; what it does not name, after."""
    listed = OmegaConf.load(conf_dir() / "experiment" / "table1.yaml").hydra.sweeper.params[kind]
    first = [name.strip() for name in listed.split(",")]

    def place(value: str) -> tuple[bool, int, str]:
        known = value if kind == "method" else value.split(" ")[0]
        return value == FLOOR, first.index(known) if known in first else len(first), value

    return sorted(set(values), key=place)


def number(value: float, signed: bool = False, digits: int = 3) -> str:
    """Return a number with three decimals, without the zero before the point; – for NaN.

    >>> number(0.66812), number(-0.14, signed=True), number(1), number(-0.0001)
    ('.668', '−.140', '1.000', '.000')
    """
    if pd.isna(value):
        return "–"
    value = round(value, digits) + 0.0  # no -0
    sign = "+" if signed and value else ""
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.{digits}f}").replace("-", "−")


def wide(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """`value` with a row (name, selection) and a column a set, in the tables' order; NaN where no run finished."""
    table = rows.pivot(index=["method", "selection"], columns="set", values=value)
    lines = [
        (name, kind) for name in in_order(rows["method"], "method") for kind in ("last", "oracle")
    ]
    return table.reindex(
        index=[line for line in lines if line in table.index], columns=in_order(rows["set"], "data")
    )


def standing(means: pd.DataFrame) -> pd.DataFrame:
    """1 for the best of a column as shown, 2 for the second; an oracle's row does not compete and has NaN."""
    free = means[means.index.get_level_values("selection") == "last"].round(3)
    return free.rank(method="dense", ascending=False).reindex(means.index)


def glance(summary: pd.DataFrame) -> pd.DataFrame:
    """ARI / NMI of a set in a line: published, then label-free the released code, ours, and the best of the others."""
    free = summary[(summary["selection"] == "last") & (summary["method"] != FLOOR)]
    means = {
        metric: wide(free[free["metric"] == metric], "mean").droplevel("selection")
        for metric in ("ari", "nmi")
    }
    ours = summary[(summary["method"] == OURS) & summary["published"].notna()]
    paper = ours.pivot(index="set", columns="metric", values="published")

    def both(name: str | None, place: str) -> str:
        if name not in means["ari"].index or pd.isna(means["ari"].at[name, place]):
            return "–"
        return " / ".join(number(means[metric].at[name, place]) for metric in ("ari", "nmi"))

    gone = [name for name in means["ari"].index if settings(name) is None]
    rows = []
    for place in means["ari"].columns:
        others = means["ari"][place].drop([OURS, RELEASED, *gone], errors="ignore").dropna()
        other = others.idxmax() if len(others) else None
        cells = [both(name, place) for name in (RELEASED, OURS, other)]
        best = max((cell for cell in cells if cell != "–"), default="")
        cells = [MARKS[1].format(cell) if cell == best else cell for cell in cells]
        published = "–"
        if place in paper.index:
            published = " / ".join(number(paper.at[place, metric]) for metric in ("ari", "nmi"))
        rows.append([place, published, *cells, other or "–"])
    header = [
        "Set",
        "Published JojoSCL †",
        "Released code",
        "jojoscl",
        "Best other method",
        "which is",
    ]
    return pd.DataFrame(rows, columns=header)


def scores(rows: pd.DataFrame, usual: int) -> pd.DataFrame:
    """Mean ± sd of one metric as text, a row a method and selection, a column a set."""
    means, sds, counts = (wide(rows, value) for value in ("mean", "sd", "n"))
    everywhere = means.notna().all(axis=1)
    places = standing(means.assign(**{AVERAGE: means.mean(axis=1).where(everywhere)}))

    def marked(shown: str, place: float) -> str:
        return MARKS.get(place, "{}").format(shown)

    def cell(line: tuple[str, str], name: str) -> str:
        if pd.isna(means.at[line, name]):
            return "–"
        sd, n = sds.at[line, name], int(counts.at[line, name])
        shown = number(means.at[line, name]) + (f" ± {number(sd)}" if n > 1 else "")
        raised = RAISED.format(f"n={n}") if n != usual else ""
        return marked(shown, places.at[line, name]) + raised

    table = lines(means)
    for name in means.columns:
        table[name] = [cell(line, name) for line in means.index]
    table[AVERAGE] = [
        marked(number(means.loc[line].mean()) + fewer(means.loc[line]), places.at[line, AVERAGE])
        for line in means.index
    ]
    return table


def fewer(values: pd.Series) -> str:
    """Of how many sets a mean is, where it is not of all."""
    return "" if values.notna().all() else f" ({values.count()} of {len(values)} sets)"


def lines(means: pd.DataFrame) -> pd.DataFrame:
    """What stands before the scores: the method, by what its epoch was chosen, and whether it is given K."""
    rows = []
    for name, selection in means.index:
        free = "last epoch" if has_epochs(name) else "no epochs"
        rows.append([
            name if selection == "last" else f"{name} †",
            free if selection == "last" else "true labels (oracle) †",
            GIVEN[given_k(name)],
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=["Method", "Selected by", "K"])


def beside_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """Ours (published, difference) of one metric as text, where the paper has a value."""
    means, paper = (wide(rows.dropna(subset="published"), value) for value in ("mean", "published"))

    def cell(ours: float, theirs: float) -> str:
        if pd.isna(ours):
            return "–"
        return f"{number(ours)} ({number(theirs)}, {number(ours - theirs, signed=True)})"

    table = lines(means).drop(columns="K")
    for name in means.columns:
        table[name] = list(map(cell, means[name], paper[name]))
    average = [
        cell(means.loc[line].mean(), paper.loc[line].mean()) + fewer(means.loc[line])
        for line in means.index
    ]
    return table.assign(**{AVERAGE: average})


def over_sets(result: Comparison) -> pd.DataFrame:
    """The comparison's table as text; `jojoscl` against itself has no p."""
    table = result.table
    shown = pd.DataFrame({"Method": table.index, "Mean rank": map("{:.2f}".format, table["rank"])})
    shown["Difference"] = [number(value, signed=True) for value in table["difference"]]
    shown["Ahead / behind"] = [f"{row.ahead} / {row.behind}" for row in table.itertuples()]
    for column, title in {"p": "Wilcoxon p", "p_holm": "Holm p", "p_nemenyi": "Nemenyi p"}.items():
        shown[title] = table[column].map(probability).to_numpy()
    shown.loc[table.index == OURS, "Difference":] = "–"
    return shown


def probability(value: float) -> str:
    return "–" if pd.isna(value) else "<.001" if value < 0.001 else number(value)


def sections(summary: pd.DataFrame) -> list[Section]:
    """Return the glance, then for each metric its scores, those beside the paper's, and the statistics."""
    usual = int(summary["n"].mode().max())
    shown, beside, compared = [], [], []
    for metric, title in METRICS.items():
        rows = summary[summary["metric"] == metric]
        if not rows.empty:
            shown.append(Section(title, scores(rows, usual), scores_note(usual)))
        if rows["published"].notna().any():
            table = beside_paper(rows[rows["published"].notna()])
            beside.append(Section(f"{title} beside the paper", table, PAPER_NOTE))
        result = compare(label_free(summary, metric))
        table = pd.DataFrame() if result.table.empty else over_sets(result)
        compared.append(Section(f"{title} over the sets", table, result.note(title)))
    return [Section("At a glance", glance(summary), GLANCE_NOTE), *shown, *beside, *compared]


def costs(runs: pd.DataFrame) -> list[Section]:
    """Return what a run takes, a row a method and a column a set, a table for each of COSTS."""
    runs = with_sets(runs[runs["selection"] == "last"])
    timed = runs.dropna(subset="seconds") if "seconds" in runs else runs[:0]
    shown = []
    for name, title in COSTS.items() if len(timed) else ():
        groups = timed.groupby(["method", "selection", "set"])[name]
        means = groups.agg(mean="mean", n="size").reset_index()
        values, counts = wide(means, "mean"), wide(means, "n")
        raised = counts.map(lambda n: RAISED.format(f"n={n:.0f}"))
        texts = (values.map("{:.1f}".format) + raised).where(values.notna(), "–").reset_index()
        table = texts.drop(columns="selection").rename(columns={"method": "Method"})
        shown.append(Section(title, table, COSTS_NOTE))
    return shown


COSTS_NOTE = (
    "Means of n runs, on one thread of a CPU: wall time from reading the file to the labels, and the most memory that "
    "the process held meanwhile. Rows without seconds are older than this clock and are left out."
)


def label_free(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means of one metric of the rows that no label touched: a row a set, a column a method."""
    rows = summary[(summary["metric"] == metric) & (summary["selection"] == "last")]
    return wide(rows, "mean").droplevel("selection").T


def scores_note(usual: int) -> str:
    return (
        f"Mean ± sd over {usual} seeds; another number of seeds is raised (n=...). Best label-free row bold, second "
        "underlined. † The true labels chose the epoch: not a result that can be had without them, and out of the "
        "competition. – failed or not run; an average over fewer sets says so and does not compete."
    )


GLANCE_NOTE = (
    "ARI / NMI, means over seeds; best ARI bold. All but the published figures are label-free. † The true labels "
    "chose its epoch. The best other method is chosen for each set by its mean ARI, which favours it; one that is no "
    "longer in the code is not among them."
)

PAPER_NOTE = (
    "Ours (published, ours − published before rounding). Every jojoscl row stands beside the published JojoSCL, the "
    "others beside the published row of their own name. – failed or not run. The published JojoSCL keeps the epoch "
    "that agrees best with the true labels, so that its like is a row marked †."
)


def page(
    shown: list[Section],
    table: Path,
    command: str,
    figures: Mapping[Path, str] = MappingProxyType({}),
) -> str:
    """Return the sections as Markdown; `figures` are pictures and what each shows.

    A note that the next section shares stands once, below the last of them.
    """
    parts = [
        f"# Results of `{table.name}`",
        f"Made by `python -m experiments {command}`; do not edit.",
    ]
    for section, following in zip(shown, [*shown[1:], None], strict=True):
        parts += [
            f"## {section.title}",
            "" if section.table.empty else markdown(section.table),
        ]
        parts += [section.note] if following is None or following.note != section.note else []
    parts += [
        f"![{what}]({os.path.relpath(figure, table.parent)})" for figure, what in figures.items()
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def failed_runs(table: Path) -> Section:
    """Return which runs of `table` failed, and why."""
    failed = failures_by_reason(table)
    return Section("Failed runs", failed, "None is on record." if failed.empty else "")


def make(results: Path, figures: Path, table: Path | None = None) -> None:
    """Write Table I and everything else that is made from its runs."""
    table = table or results / "table1.csv"
    runs = scored(table)
    summary = summarise(runs)
    figure, diagram = figures / FIGURE, compare(label_free(summary, "ari")).diagram("ARI")
    shown = [*sections(summary), *costs(runs), failed_runs(table)]
    write(
        table.with_suffix(".md"),
        page(shown, table, "tables", {figure: RANKS} if diagram else {}),
    )
    write(
        table.with_name(f"{table.stem}_summary.csv"), summary[SUMMARY].round(4).to_csv(index=False)
    )
    if diagram:
        save(diagram, figure, bbox_inches="tight")
