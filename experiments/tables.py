"""The paper's Table I from this project's own runs, and what they say over datasets.

    python -m experiments tables

From results/table1.csv it writes `table1.md` and `table1_summary.csv` beside it, and the
critical-difference diagram.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from experiments import runs as table_of_runs
from experiments.compare import Comparison, compare
from experiments.failures import failed_runs
from experiments.runs import FLOOR, OURS, given_k, has_epochs, read, reference, settings, with_sets
from experiments.text import GIVEN, Section, number, probability, save, write, write_page
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

OPTIONS = {"table": {"type": Path, "nargs": "?", "help": "runs; results/table1.csv if not given"}}
METRICS = {"ari": "ARI", "nmi": "NMI", "acc": "ACC", "f1": "Macro F1"}
COSTS = {"seconds": "Seconds", "peak_memory_mb": "Peak memory in MB"}
RUN = ["dataset", "variant", "method", "selection"]
SUMMARY = [*RUN, "metric", "mean", "sd", "n", "published", "difference"]
FIGURE = "critical_difference.png"
MARKS = {1: "**{}**", 2: "<u>{}</u>"}  # the best of a column, and the second
RAISED = "<sup>{}</sup>"
RANKS = "Mean ranks by ARI; methods joined by a bar do not differ significantly"
AVERAGE = "Average"
RELEASED = "jojoscl_released"
FORMS = ("jojoscl_paper", RELEASED)  # stand beside the published JojoSCL, as the default does
GLANCE_NOTE = (
    "ARI / NMI, means over seeds; best ARI bold. All but the published figures are label-free. † "
    "The true labels chose its epoch. The best other method is chosen for each set by its mean "
    "ARI, which favours it; one that is no longer in the code is not among them."
)
SCORES_NOTE = (
    "Mean ± sd over {} seeds; another number of seeds is raised (n=...). Best label-free row bold, "
    "second underlined. † The true labels chose the epoch: not a result that can be had without "
    "them, and out of the competition. – failed or not run; an average over fewer sets says so and "
    "does not compete. `jojoscl_anchored` is an earlier default, no longer in the code."
)
PAPER_NOTE = (
    "Ours (published, ours − published before rounding). Every jojoscl row stands beside the "
    "published JojoSCL, the others beside the published row of their own name. – failed or not "
    "run. The published JojoSCL keeps the epoch that agrees best with the true labels, so that its "
    "like is a row marked †."
)
COSTS_NOTE = (
    "Means of n runs, on one thread of a CPU: wall time from reading the file to the labels, and "
    "the most memory that the process held meanwhile. Rows without seconds are older than this "
    "clock and are left out."
)


def scored(path: Path) -> pd.DataFrame:
    """Return the runs of a table that ``collect`` made.

    Raises
    ------
    UserError
        Not such a table, nothing scored in it, or a run that stands in it twice.
    """
    return check_scored(read(path, (*RUN, "seed", *METRICS)), path)


def check_scored(runs: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return `runs`, of `path`, if they are scored and none stands twice; see :func:`scored`."""
    scores = runs[list(METRICS)]
    if scores.isna().all(axis=None) or not all(map(pd.api.types.is_numeric_dtype, scores.dtypes)):
        raise UserError(f"{path} has no scored run: ari, nmi and acc must be numbers.")
    twice = runs[runs.duplicated([name for name in table_of_runs.RUN if name in runs])]
    for run in twice.itertuples():
        which = f"{run.method} on {run.dataset}, seed {run.seed}"
        raise UserError(f"{path} has {which}, twice: keep one of them.")
    return runs


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean and sd over seeds, and the published value: a row a set, method and metric."""
    by = [*RUN, "set"]
    long = with_sets(runs).melt(by, list(METRICS), "metric", "score").dropna(subset="score")
    scores = long.groupby([*by, "metric"])["score"]
    table = scores.agg(mean="mean", sd="std", n="size").reset_index()
    paper = reference().melt(["dataset", "method"], var_name="metric", value_name="published")
    ours = paper[paper["method"] == OURS]
    paper = pd.concat([paper, *(ours.assign(method=form) for form in FORMS)])
    table = table.merge(paper, "left", on=["dataset", "method", "metric"])
    return table.assign(difference=table["mean"] - table["published"])


def in_order(values: Iterable[str], kind: str) -> list[str]:
    """Sort sets (`data`) or methods (`method`) as experiment=table1 lists them; others after."""
    listed = OmegaConf.load(conf_dir() / "experiment" / "table1.yaml").hydra.sweeper.params[kind]
    first = [name.strip() for name in listed.split(",")]

    def place(value: str) -> tuple[bool, int, str]:
        known = value if kind == "method" else value.split(" ")[0]
        return value == FLOOR, first.index(known) if known in first else len(first), value

    return sorted(set(values), key=place)


def wide(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """`value`, a row (method, selection) and a column a set, in order; NaN where no run ended."""
    table = rows.pivot(index=["method", "selection"], columns="set", values=value)
    names = in_order(rows["method"], "method")
    lines = [(name, kind) for name in names for kind in ("last", "oracle")]
    lines = [line for line in lines if line in table.index]
    return table.reindex(index=lines, columns=in_order(rows["set"], "data"))


def label_free(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means of one metric of the rows that no label touched: a row a set, a column a method."""
    rows = summary[(summary["metric"] == metric) & (summary["selection"] == "last")]
    return wide(rows, "mean").droplevel("selection").T


def standing(means: pd.DataFrame) -> pd.DataFrame:
    """1 for the best of a column as shown, 2 for the second; NaN for an oracle's row."""
    free = means[means.index.get_level_values("selection") == "last"].round(3)
    return free.rank(method="dense", ascending=False).reindex(means.index)


def glance(summary: pd.DataFrame) -> pd.DataFrame:
    """ARI / NMI of each set: as published, of the released code, ours, and the best other's."""
    named = summary[summary["method"] != FLOOR]
    ari, nmi = (label_free(named, metric) for metric in ("ari", "nmi"))
    texts = (ari.map(number) + " / " + nmi.map(number)).where(ari.notna(), "–")
    ours = summary[(summary["method"] == OURS) & summary["published"].notna()]
    paper = ours.pivot(index="set", columns="metric", values="published")
    paper = paper.reindex(columns=["ari", "nmi"]).map(number).agg(" / ".join, axis=1)
    gone = [name for name in ari if settings(name) is None]
    rows = []
    for place, scores in ari.iterrows():
        others = scores.drop([OURS, RELEASED, *gone], errors="ignore").dropna()
        other = others.idxmax() if len(others) else "–"
        cells = [texts.loc[place].get(name, "–") for name in (RELEASED, OURS, other)]
        best = max((cell for cell in cells if cell != "–"), default="")
        cells = [MARKS[1].format(cell) if cell == best else cell for cell in cells]
        rows.append([place, paper.get(place, "–"), *cells, other])
    header = ["Set", "Published JojoSCL †", "Released code", OURS, "Best other method", "which is"]
    return pd.DataFrame(rows, columns=header)


def scores(rows: pd.DataFrame, usual: int) -> pd.DataFrame:
    """Mean ± sd of one metric as text, a row a method and selection, a column a set."""
    means, sds, counts = (wide(rows, value) for value in ("mean", "sd", "n"))
    averages = means.mean(axis=1)
    places = standing(means.assign(**{AVERAGE: averages.where(means.notna().all(axis=1))}))

    def marked(shown: str, line: tuple[str, str], name: str) -> str:
        return MARKS.get(places.at[line, name], "{}").format(shown)

    def cell(line: tuple[str, str], name: str) -> str:
        if pd.isna(means.at[line, name]):
            return "–"
        n = int(counts.at[line, name])
        shown = number(means.at[line, name]) + (f" ± {number(sds.at[line, name])}" if n > 1 else "")
        return marked(shown, line, name) + (RAISED.format(f"n={n}") if n != usual else "")

    table = lines(means)
    for name in means.columns:
        table[name] = [cell(line, name) for line in means.index]
    table[AVERAGE] = [
        marked(number(averages[line]) + fewer(means.loc[line]), line, AVERAGE)
        for line in means.index
    ]
    return table


def fewer(values: pd.Series) -> str:
    """Of how many sets a mean is, where it is not of all."""
    return "" if values.notna().all() else f" ({values.count()} of {len(values)} sets)"


def lines(means: pd.DataFrame) -> pd.DataFrame:
    """What stands before the scores: method, what chose its epoch, whether it is given K."""
    rows = []
    for name, selection in means.index:
        chosen = "last epoch" if has_epochs(name) else "no epochs"
        shown = [name, chosen] if selection == "last" else [f"{name} †", "true labels (oracle) †"]
        rows.append([*shown, GIVEN[given_k(name)]])
    return pd.DataFrame(rows, columns=["Method", "Selected by", "K"])


def beside_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """Ours (published, difference) of one metric as text, where the paper has a value."""
    means, paper = (wide(rows, value) for value in ("mean", "published"))

    def cell(ours: float, theirs: float) -> str:
        if pd.isna(ours):
            return "–"
        return f"{number(ours)} ({number(theirs)}, {number(ours - theirs, signed=True)})"

    table = lines(means).drop(columns="K")
    for name in means.columns:
        table[name] = list(map(cell, means[name], paper[name]))
    averages = map(cell, means.mean(axis=1), paper.mean(axis=1))
    fewer_sets = (fewer(means.loc[line]) for line in means.index)
    return table.assign(**{AVERAGE: list(map("".join, zip(averages, fewer_sets, strict=True)))})


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


def sections(summary: pd.DataFrame) -> list[Section]:
    """Return the glance, then each metric's scores, those beside the paper's, and statistics."""
    usual = int(summary["n"].mode().max())
    shown, beside, compared = [], [], []
    for metric, title in METRICS.items():
        rows = summary[summary["metric"] == metric]
        known = rows.dropna(subset="published")
        if len(rows):
            shown.append(Section(title, scores(rows, usual), SCORES_NOTE.format(usual)))
        if len(known):
            beside.append(Section(f"{title} beside the paper", beside_paper(known), PAPER_NOTE))
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


def make(results: Path, figures: Path, table: Path | None = None) -> None:
    """Write Table I and everything else that is made from its runs."""
    table = table or results / "table1.csv"
    runs = scored(table)
    summary = summarise(runs)
    figure, diagram = figures / FIGURE, compare(label_free(summary, "ari")).diagram("ARI")
    shown = [*sections(summary), *costs(runs), failed_runs(table)]
    write_page(shown, table, "tables", {figure: RANKS} if diagram else {})
    summary_path = table.with_name(f"{table.stem}_summary.csv")
    write(summary_path, summary[SUMMARY].round(4).to_csv(index=False))
    if diagram:
        save(diagram, figure, bbox_inches="tight")
