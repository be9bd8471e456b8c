"""Methods compared over sets, against values worked out by hand and scipy's."""

import pandas as pd
import pytest
from scipy import stats

from jojoscl.runner.sweep import paired, reference_of, signed_rank

NONE = float("nan")
MEANS = pd.DataFrame({
    "ours": [0.80, 0.70, 0.60, 0.50, 0.40, NONE],
    "a": [0.75, 0.69, 0.605, 0.56, NONE, 0.9],  # +.05, +.01, -.005, -.06
    "b": [0.10, 0.20, 0.30, 0.40, 0.45, 0.9],  # +.7, +.5, +.3, +.1, -.05
    "alone": [NONE, NONE, NONE, NONE, NONE, 0.2],
})  # fmt: skip


def test_differences_by_hand():
    table = paired(MEANS, "ours")
    counts = ["sets", "ahead_0.05", "behind_0.05", "ahead_0.01", "behind_0.01"]
    assert table.loc["a", counts].tolist() == [4, 1, 1, 2, 1]
    assert table.loc["b", counts].tolist() == [5, 4, 1, 4, 1]
    assert table["difference"].to_dict() == pytest.approx({"a": -0.00125, "b": 0.31})
    assert list(table.index) == ["a", "b"]  # `alone` shares no set


def test_p_is_wilcoxons():
    """Of b's five differences only the smallest is negative: 2 * 2 of the 2^5 signs are as extreme."""
    table = paired(MEANS, "ours")
    assert table.at["b", "p"] == pytest.approx(4 / 32)
    for name in ("a", "b"):
        shared = MEANS[["ours", name]].dropna()
        assert table.at[name, "p"] == pytest.approx(
            stats.wilcoxon(shared["ours"], shared[name]).pvalue
        )
    assert signed_rank(pd.Series([0.0, 0.0])) == 1  # nothing differs


def test_the_best_stands_in_for_a_reference_that_was_not_run():
    assert reference_of(MEANS, "a") == "a"
    assert reference_of(MEANS[["b", "alone"]], "jojoscl") == "b"
    assert reference_of(MEANS.assign(jojoscl=NONE), "jojoscl") == MEANS.mean().idxmax()
