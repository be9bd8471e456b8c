"""The results as one HTML file that opens offline, prints, and is the same for the same inputs.

    python -m experiments report        # experiments/report.html

To add a study, add an entry to studies.yaml; its place there is its place in the report:

    - name: ablation                                   # its text, in Markdown: studies/ablation.md (may be missing)
      title: What each part is worth
      command: jojoscl -m experiment=ablation          # what makes the files below
      tables: {results/ablation.csv: ARI by part}      # path or glob: caption
      figures: {figures/ablation*.png: The same drawn}

Paths start in this folder. A table is Markdown, or CSV: one row a run as collect.py writes it is
shown as means over seeds, any other as it is. A file that is missing is left out, and so is a study
that names files and has none of them.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import mimetypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown import markdown
from markupsafe import Markup

from experiments.collect import markdown as means
from experiments.runs import settings as method_settings
from experiments.text import HERE, parser
from jojoscl.runner.config import conf_dir
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

LONG = 40  # rows: longer tables are folded


@dataclass(frozen=True)
class Study:
    """An entry of studies.yaml."""

    name: str
    title: str
    command: str = ""
    tables: dict[str, str] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A study as it is shown: `tables` and `figures` are pairs of caption and content."""

    study: Study
    text: Markup
    tables: list[tuple[str, Markup]]
    figures: list[tuple[str, str]]


def read_studies(path: Path) -> list[Study]:
    """The studies that `path` lists."""
    try:
        return [Study(**entry) for entry in yaml.safe_load(path.read_text())]
    except OSError as error:
        raise UserError(f"There is no list of studies {path}.") from error
    except (TypeError, yaml.YAMLError) as error:
        problem = str(error).splitlines()[0]
        raise UserError(
            f"{path} is no list of studies as report.py describes it ({problem})."
        ) from error


def section(study: Study, folder: Path) -> Section | None:
    """What there is of a study in `folder`; None if none of its files are."""
    tables, figures = present(study.tables, folder, table), present(study.figures, folder, picture)
    if tables or figures:
        return Section(study, prose(folder / "studies" / f"{study.name}.md"), tables, figures)
    return None


def present(
    captions: dict[str, str], folder: Path, show: Callable[[Path], Any]
) -> list[tuple[str, Any]]:
    """Caption and content of each file that is there; of several by one glob, each caption has the file's name."""
    shown = []
    for glob, caption in captions.items():
        paths = sorted(folder.glob(glob))
        shown += [
            (f"{caption} ({path.stem})" if "*" in glob else caption, show(path)) for path in paths
        ]
    return shown


def table(path: Path) -> Markup:
    """A Markdown or CSV file as HTML."""
    if path.suffix == ".md":
        return prose(path)
    frame = read_csv(path)
    if {"method", "seed", "selection", "ari", "nmi"} <= set(frame):
        return Markup(unbroken(markdown(means(frame), extensions=["tables"])))
    html = Markup(frame.round(4).to_html(index=False, border=0, na_rep=""))
    folded = Markup("<details><summary>{} rows</summary>{}</details>").format(len(frame), html)
    return folded if len(frame) > LONG else html


def read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a table.") from error


def picture(path: Path) -> str:
    """The file itself as an address."""
    kind, _ = mimetypes.guess_type(path)
    try:
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError as error:
        raise UserError(f"There is no picture {path}, and a text shows it.") from error


def prose(path: Path) -> Markup:
    """Markdown as HTML, its pictures inside and its headings below a section's; nothing of a missing file."""
    if not path.exists():
        return Markup()
    html = markdown(path.read_text(), extensions=["tables", "fenced_code", "sane_lists"])
    html = re.sub(
        r'(<img\b[^>]*\bsrc=")([^"]+)',
        lambda found: found[1] + picture(path.parent / found[2]),
        html,
    )
    return Markup(unbroken(re.sub(r"<(/?)h[12]>", r"<\1h3>", html)))


def unbroken(html: str) -> str:
    """Mean and sd on one line."""
    return re.sub(r" (?:±|\+-) ", "&nbsp;±&nbsp;", html)


@functools.cache
def settings() -> dict[str, str]:
    """Return the settings of every method, defaults included."""
    texts = {}
    for path in sorted((conf_dir() / "method").glob("*.yaml")):
        found = method_settings(path.stem)
        if found is not None:
            texts[path.stem] = yaml.safe_dump(
                json.loads(json.dumps(dataclasses.asdict(found[1]), default=str)), sort_keys=False
            )
    return texts


def environment(folder: Path) -> list[dict[str, Any]]:
    """By table of runs: how many, and the versions and commits that made them."""
    rows = []
    for path in sorted((folder / "results").glob("*.csv")):
        frame = read_csv(path)
        if "git_commit" not in frame:
            continue
        counts = frame["git_commit"].fillna("unknown").value_counts().sort_index()
        versions = frame.get("python", pd.Series(dtype=str)).dropna().astype(str).unique()
        rows.append(
            {"table": path.name, "python": ", ".join(sorted(versions)), "commits": counts.to_dict()}
        )
    return rows


def render(folder: Path) -> str:
    """The whole page."""
    sections = [
        found
        for study in read_studies(folder / "studies.yaml")
        if (found := section(study, folder))
    ]
    if not sections:
        raise UserError(
            f"There is nothing to report: {folder} has none of the files that its studies.yaml names."
        )
    jinja = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    jinja.trim_blocks = jinja.lstrip_blocks = True
    return jinja.get_template("report.html.j2").render(
        about=prose(folder / "studies" / "about.md"),
        caveats=prose(folder / "studies" / "caveats.md"),
        sections=sections,
        settings=settings(),
        environment=environment(folder),
    )


def main(arguments: Sequence[str]) -> None:
    """Write the page."""
    options = parser("report", __doc__)
    options.add_argument(
        "--folder", type=Path, default=HERE, help="where studies.yaml and what it names are"
    )
    options.add_argument(
        "--out", type=Path, help="the HTML file; report.html in the folder if not given"
    )
    chosen = options.parse_args(arguments)
    out = chosen.out or chosen.folder / "report.html"
    page = render(chosen.folder)
    with whole_file(out) as path:
        path.write_text(page, encoding="utf-8")
    print(f"{out}: {len(page.encode()) / 1e6:.1f} MB")
