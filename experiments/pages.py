"""Tables inside README.md and docs/, filled in from the committed results, so that no number is copied by hand.

A page holds `<!-- table results/x.md -->`, or `<!-- table results/x.md # Title -->` for one section
of it, or `<!-- table methods -->` for the list of methods, and `<!-- end -->` below; what stands
between them is replaced.
"""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import OmegaConf

from experiments.runs import settings
from experiments.tables import TOLD
from experiments.text import HERE, grid
from jojoscl.runner.config import conf_dir
from jojoscl.utils.errors import UserError

ROOT = HERE.parent
MARKED = re.compile(r"(<!-- table ([\w./]+)(?: # ([^>]+?))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Return the pages that show tables."""
    shown = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [path for path in shown if MARKED.search(path.read_text(encoding="utf-8"))]


def filled(text: str) -> str:
    """Return `text` with its tables as the results have them."""
    return MARKED.sub(lambda found: f"{found[1]}{_table(found[2], found[3])}\n{found[5]}", text)


def _table(source: str, title: str | None) -> str:
    if source == "methods":
        return methods()
    path = HERE / source
    if not path.exists():
        raise UserError(f"A page shows {path}, which is not there: python -m experiments makes it.")
    text = path.read_text(encoding="utf-8")
    if title is not None:
        text = text.partition(f"## {title}\n\n")[2]
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("|")), None)
    if first is None:
        raise UserError(
            f"{path} holds no table{f' below {title!r}' if title else ''}, and a page shows one."
        )
    last = next(
        (i for i, line in enumerate(lines[first:], first) if not line.startswith("|")), len(lines)
    )
    return "\n".join(lines[first:last])


def methods() -> str:
    """Return a row a choice of `method=`, from what its configuration says about it."""
    rows = []
    for path in sorted((conf_dir() / "method").glob("*.yaml")):
        found = settings(path.stem)
        assert found is not None
        about = OmegaConf.to_container(found[0].about, resolve=True)
        assert isinstance(about, dict)
        source = (
            f"[{about['citation']}](https://doi.org/{about['doi']})"
            if about.get("doi")
            else about["citation"]
        )
        rows.append(
            [
                f"`{path.stem}`",
                about["summary"],
                str(source or "none"),
                TOLD[about["told_k"]],
                str(about["minutes"]),
            ]
        )
    return grid(["`method=`", "What it is", "Source", "K", "Minutes, 4000 cells"], rows)
