"""All tables, figures, and pages that show them, from the committed CSV files.

Nothing is run, and what needs the runs themselves (UMAPs) stays as it is. Running it twice gives
the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from experiments import (
    assumptions,
    collection,
    confidence,
    cosine_gap,
    fidelity,
    figures,
    new_cells,
    order,
    samples,
    splits,
    studies,
    tables,
    uneven,
    unseen,
)
from experiments.pages import filled, pages
from experiments.text import RESULTS, write

MODULES = {  # by the table that each is made from
    "table1": (tables, figures), "fidelity": (fidelity,), "confidence": (confidence,),
    "cosine_gap": (cosine_gap,), collection.BENCHMARK: (collection,), "new_cells": (new_cells,),
    "samples": (samples,), "unseen": (unseen,), "order": (order,), "splits/null": (splits,),
    uneven.STUDY: (uneven,),
}  # fmt: skip


def make(results: Path, figures: Path) -> None:
    """Rebuild everything whose CSV is there; the project's own pages where its own results are used."""
    for name, modules in MODULES.items():
        for module in modules if (results / f"{name}.csv").exists() else ():
            module.make(results, figures)
    studies.make(results, figures)
    for name in assumptions.STUDIES:
        if (results / "assumptions" / f"{name}.csv").exists():
            assumptions.make(results, figures, name, [], [], 0, drawn_only=True)
    if results == RESULTS:
        for path in pages():
            write(path, filled(path.read_text(encoding="utf-8")))
