"""Methods compared over datasets, each set one observation (Demšar 2006, JMLR 7:1-30)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, sqrt

import pandas as pd
import scikit_posthocs
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.stats.multitest import multipletests

from experiments.runs import FLOOR, OURS
from jojoscl.runner.sweep import signed_rank

LEAST = 3  # methods and sets below which there is nothing to compare
ALPHA = 0.05
TUNED = f"The settings of {OURS} were chosen by scores on these sets: its p are optimistic."


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` finds.

    means: a row a set and a column a method, without gaps.
    left_out: a sentence on the sets and methods that are not in `means`.
    table: a row a method by mean rank: `rank` (1 is best), `difference` (mean of `reference` minus
        the method), `ahead` and `behind` (sets), `p` (Wilcoxon), `p_holm`, `p_nemenyi`. Empty where
        there is nothing to compare.
    friedman: statistic and p.
    """

    means: pd.DataFrame
    left_out: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    friedman: tuple[float, float] = (float("nan"), float("nan"))
    reference: str = OURS

    def note(self, metric: str) -> str:
        """Say what was compared, Friedman's test, and how small a p these sets allow."""
        n, k = self.means.shape
        ours = self.reference
        what = f"Per-set means of {metric}, label-free rows only, of {k} methods on {n} sets."
        what = f"{what} {self.left_out}"
        if self.table.empty:
            return f"{what} No comparison: it takes {ours}, {LEAST} methods and {LEAST} sets."
        least = 2.0 ** (1 - n)  # all n differences of one sign, two-sided
        return (
            f"{what} Friedman χ² = {self.friedman[0]:.1f} ({k - 1} df), "
            f"p = {self.friedman[1]:.2g}; differences of mean ranks below {self.critical:.2f} are "
            "not significant (Nemenyi, 5%). Difference, ahead / behind (sets) and Wilcoxon's "
            f"signed-rank test: {ours} against the method. With {n} sets the smallest possible p "
            f"is {least:.2g}, and {min(1, (k - 1) * least):.2g} after Holm's correction for "
            f"{k - 1} comparisons. {TUNED}"
        )

    def diagram(self, metric: str) -> Figure | None:
        """Draw mean ranks on a line; methods that do not differ by Nemenyi's test are joined."""
        if self.table.empty:
            return None
        n, k = self.means.shape
        ranks = self.table["rank"]
        figure = Figure(figsize=(8, 1.2 + 0.3 * k))
        axes = figure.add_subplot()
        drawn = scikit_posthocs.critical_difference_diagram(
            ranks,
            scikit_posthocs.posthoc_nemenyi_friedman(self.means),
            ax=axes,
            label_fmt_left="{label} ({rank:.1f})",
            label_fmt_right="({rank:.1f}) {label}",
            text_h_margin=0.03 * (ranks.max() - ranks.min()),
            color_palette=dict.fromkeys(ranks.index, "0.35") | {self.reference: "tab:red"},
            elbow_props={"linewidth": 1},
            crossbar_props={"linewidth": 3, "solid_capstyle": "butt"},
        )
        # A bar's points come in the order of a Python set, which differs between processes.
        for (bar,) in drawn["crossbars"]:
            bar.set_xdata(sorted(bar.get_xdata()))
        what = f"Mean rank by {metric} over {n} sets, 1 is best"
        axes.set_xlabel(f"{what} (critical difference {self.critical:.2f})")
        axes.xaxis.set_label_position("top")
        return figure

    @property
    def critical(self) -> float:
        """Difference of two mean ranks that Nemenyi's test calls significant at 5%."""
        n, k = self.means.shape
        q = stats.studentized_range.ppf(1 - ALPHA, k, inf) / sqrt(2)
        return float(q * sqrt(k * (k + 1) / (6 * n)))


def compare(means: pd.DataFrame, reference: str = OURS) -> Comparison:
    """Compare `reference` with the other methods.

    `means`: a row a set and a column a method, NaN where no run finished.
    """
    means, left_out = complete(means)
    if reference not in means or min(means.shape) < LEAST:
        return Comparison(means, left_out, reference=reference)
    ranks = means.rank(axis=1, ascending=False).mean().sort_values()
    differences = -means.sub(means[reference], axis=0)
    nemenyi = scikit_posthocs.posthoc_nemenyi_friedman(means)[reference]
    table = pd.DataFrame({
        "rank": ranks, "difference": differences.mean(), "ahead": (differences > 0).sum(),
        "behind": (differences < 0).sum(), "p_nemenyi": nemenyi,
    }).loc[ranks.index]  # fmt: skip
    table.loc[reference, "p_nemenyi"] = float("nan")
    table["p"] = differences.drop(columns=reference).apply(signed_rank)
    table["p_holm"] = holm(table["p"])
    friedman = stats.friedmanchisquare(*means.to_numpy().T)
    return Comparison(means, left_out, table, (friedman.statistic, friedman.pvalue), reference)


def holm(p: pd.Series) -> pd.Series:
    """Return p values corrected for the number of methods by Holm; NaN of the floor."""
    tested = p.drop(FLOOR, errors="ignore").dropna()
    corrected = multipletests(tested, method="holm")[1] if len(tested) else []
    return pd.Series(corrected, tested.index, dtype=float).reindex(p.index)


def complete(means: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the sets on which all methods have a result, and a sentence on what is left out.

    The floor is not ranked. Methods with a result on fewer than half of the sets go next: one of
    them would cost most of the sets.
    """
    floor = means.columns.intersection([FLOOR])
    means = means.drop(columns=floor)
    rare = means.columns[means.notna().mean() < 0.5]
    means = means.drop(columns=rare)
    gaps = means[means.isna().any(axis=1)]
    whole = means.drop(index=gaps.index)
    lack = ((name, ", ".join(row.index[row.isna()])) for name, row in gaps.iterrows())
    reasons = [f"{name} (no result of {methods})" for name, methods in lack]
    reasons += [f"{name} (on fewer than half of the sets)" for name in rare]
    reasons += [f"{name} (chance, no method)" for name in floor]
    return whole, f"Left out: {'; '.join(reasons)}." if reasons else "None left out."
