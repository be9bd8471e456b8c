"""Tables of README and docs that are made from several results."""

from __future__ import annotations

import pandas as pd
import pytest

from experiments import pages


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sets a half; `sccl` lacks one; seeds of a set are averaged first."""
    rows = [
        *(("jojoscl", True, "A", name, seed, 0.6) for name in ("a1", "a2") for seed in (0, 1)),
        *(("jojoscl", True, "B", name, 0, ari) for name, ari in (("b1", 0.9), ("b2", 0.5))),
        *(("seurat", True, half, half.lower() + i, 0, 0.55) for half in "AB" for i in "12"),
        ("sccl", True, "B", "b1", 0, 1.0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["method", "k", "half", "dataset", "seed", "ari"])
    uneven = table[table["dataset"].isin(["a1", "b2"]) & (table["seed"] == 0)]
    both = [table.assign(cells=pages.OWN), uneven.assign(cells="uneven types")]
    monkeypatch.setattr(pages, "scored_runs", lambda: pd.concat(both))


def test_halves_leave_out_a_method_that_has_all_sets_of_none() -> None:
    assert pages.of_halves().splitlines()[2:] == [
        "| `jojoscl` | given | .700 | .600 | .500 | .600 |",
        "| `seurat` | given | .550 | .550 | .550 | .550 |",
    ]


def test_claims_compare_with_the_best_method_that_has_all_sets() -> None:
    assert pages.of_claims().splitlines()[2:] == [
        "| own sizes, K given, half A | .600 | .550 (`seurat`) | 0 of 2 |",
        "| own sizes, K given, half B | .700 | .550 (`seurat`) | 1 of 2 |",
        "| uneven types, K given, half A | .600 | .550 (`seurat`) | 0 of 1 |",
        "| uneven types, K given, half B | .500 | .550 (`seurat`) | 1 of 1 |",
    ]
