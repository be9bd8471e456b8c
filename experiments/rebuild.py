"""All tables, figures, pages that show them, and the report, from the committed CSV files; twice is as once.

Nothing is run, and what needs the runs themselves (UMAPs) stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from experiments import (
    assumptions,
    collection,
    confidence,
    cosine_gap,
    fidelity,
    figures,
    report,
    studies,
    tables,
)
from experiments.pages import filled, pages
from experiments.text import HERE, parser, write

Command = Callable[[Sequence[str]], None]


def main(arguments: Sequence[str]) -> None:
    """Rebuild each page whose CSV is there, then the report."""
    options = parser("rebuild", __doc__)
    options.add_argument(
        "--folder", type=Path, default=HERE, help="folder of studies.yaml, results/ and figures/"
    )
    folder = options.parse_args(arguments).folder
    results = folder / "results"
    where = ["--results", str(results), "--figures", str(folder / "figures")]
    of_tables: list[tuple[str, Command]] = [
        ("table1", tables.main), ("table1", figures.main), ("fidelity", fidelity.main),
        ("confidence", confidence.main), ("cosine_gap", cosine_gap.main),
        (collection.NAME, collection.main),
    ]  # fmt: skip
    for name, command in of_tables:
        if (results / f"{name}.csv").exists():
            command(where)
    studies.main(where)
    for name in assumptions.STUDIES:
        if (results / "assumptions" / f"{name}.csv").exists():
            assumptions.main(
                [name, "--drawn-only", "--results", str(results / "assumptions"), *where[2:]]
            )
    report.main(["--folder", str(folder)])
    if folder == HERE:
        for path in pages():
            write(path, filled(path.read_text(encoding="utf-8")))
