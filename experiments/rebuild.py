"""All tables, figures, and pages that show them, from the committed CSV files.

Nothing is run, and what needs the runs themselves (UMAPs) stays as it is. Running it twice gives
the same bytes.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from experiments import assumptions, studies
from experiments.__main__ import COMMANDS
from experiments.pages import filled, pages
from experiments.text import RESULTS, write

# The table of a command has its name, but for these.
TABLES = {
    "tables": "table1", "figures": "table1", "collection": "benchmark", "splits": "splits/null",
}  # fmt: skip


def make(results: Path, figures: Path) -> None:
    """Rebuild what has its CSV there; the project's own pages where its own results are used."""
    for name in COMMANDS:
        if (results / f"{TABLES.get(name, name)}.csv").exists():
            importlib.import_module(f"experiments.{name}").make(results, figures)
    studies.make(results, figures)
    assumptions.make(results, figures)
    if results == RESULTS:
        for path in pages():
            write(path, filled(path.read_text(encoding="utf-8")))
