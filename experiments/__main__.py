"""The one command of this folder: `python -m experiments COMMAND ...`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from experiments.text import parser
from jojoscl.utils.errors import UserError, stop

# Each names a module, which has `make(results, figures, ...)` and, where it takes more, `OPTIONS`.
COMMANDS = {
    "collect": "finished runs as one table, a row each",
    "collection": "many sets: means and paired statistics, of the README's table or your own sets",
    "tables": "Table I and its statistics, from results/table1.csv",
    "figures": "scores and times of Table I",
    "umaps": "what each method made of the cells, from the runs themselves",
    "studies": "table and figure of each study that changes settings",
    "fidelity": "our scores beside the paper's and others', and the paper's headline",
    "confidence": "what a cell's confidence is worth",
    "cosine_gap": "what SURE does to the two views",
    "assumptions": "whether SURE's assumptions hold",
    "new_cells": "how well a fitted model predicts new cells",
    "unseen": "whether predict notices a type that the fit never saw",
    "samples": "what batch_key does on cells of several samples",
    "order": "how far labels move by seed, by the order of cells and genes, and by threads",
    "splits": "whether split_tests and markers are calibrated, and what they keep",
    "uneven": "scores where types are of uneven size, and which types are found",
    "rebuild": "all tables, figures and pages again, from the committed CSV files",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the module that is named like the command."""
    listed = "\n".join(f"  {name:12} {what}" for name, what in COMMANDS.items())
    commands = argparse.ArgumentParser(
        "python -m experiments",
        description=f"commands:\n{listed}",
        epilog="COMMAND --help shows the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    commands.add_argument("options", nargs=argparse.REMAINDER, metavar="...")
    chosen = commands.parse_args(arguments)
    module = importlib.import_module(f"experiments.{chosen.command}")
    options = parser(chosen.command, module.__doc__, getattr(module, "OPTIONS", {}))
    try:
        module.make(**vars(options.parse_args(chosen.options)))
    except UserError as error:
        stop(str(error), f"experiments {chosen.command}")


if __name__ == "__main__":
    main()
