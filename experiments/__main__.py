"""The one command of this folder: `python -m experiments COMMAND ...`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from jojoscl.utils.errors import UserError, stop

COMMANDS = {
    "collect": "finished runs as one table, a row each",
    "collection": "your own sets: means and paired statistics, from runs of experiment=collection",
    "tables": "Table I and its statistics, from results/table1.csv",
    "figures": "scores and times of Table I; UMAPs where its runs are here",
    "studies": "table and figure of each study that changes settings",
    "fidelity": "our scores beside the paper's and others'",
    "confidence": "what a cell's confidence is worth",
    "cosine_gap": "what SURE does to the two views",
    "assumptions": "whether SURE's assumptions hold",
    "report": "all results as one HTML file",
    "rebuild": "all tables, figures and the report, from the committed CSV files",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the module that is named like the command."""
    listed = "\n".join(f"  {name:12} {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "python -m experiments",
        description=f"commands:\n{listed}",
        epilog="COMMAND --help shows the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...")
    chosen = parser.parse_args(arguments)
    try:
        importlib.import_module(f"experiments.{chosen.command}").main(chosen.options)
    except UserError as error:
        stop(str(error), f"experiments {chosen.command}")


if __name__ == "__main__":
    main()
