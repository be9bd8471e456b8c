"""The report: whole in one file, and only of what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments import report
from experiments.__main__ import main
from experiments.text import HERE
from jojoscl.runner.config import conf_dir

STUDIES = """
- name: first
  title: First study
  command: jojoscl -m experiment=first
  tables: {results/first.md: In words, results/first.csv: In numbers}
  figures: {figures/first*.png: Drawn <here>}
- name: second
  title: Second study
  tables: {results/second.csv: Some}
- name: third
  title: Third study
  tables: {results/third.csv: None}
  figures: {figures/third*.png: None}
"""
RUNS = [
    ("yan", "all", "sccl", 0, "last", 0.5, 0.6, "3.11.7", "c" * 40),
    ("yan", "all", "sccl", 1, "last", 0.7, 0.6, "3.11.7", "d" * 40 + "+"),
    ("yan", "all", "sccl", 1, "oracle", 0.9, 0.8, "3.11.7", "c" * 40),
]
COLUMNS = [
    "dataset",
    "variant",
    "method",
    "seed",
    "selection",
    "ari",
    "nmi",
    "python",
    "git_commit",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("results", "figures", "studies"):
        (tmp_path / name).mkdir()
    (tmp_path / "studies.yaml").write_text(STUDIES)
    (tmp_path / "results" / "first.md").write_text(
        "# Head\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![x](../figures/d.png)\n"
    )
    pd.DataFrame(RUNS, columns=COLUMNS).to_csv(tmp_path / "results" / "first.csv", index=False)
    pd.DataFrame({"part": range(50), "worth": 0.123456}).to_csv(
        tmp_path / "results" / "second.csv", index=False
    )
    for name in ("first_a", "first_b", "d"):
        Figure(figsize=(1, 1)).savefig(tmp_path / "figures" / f"{name}.png")
    (tmp_path / "studies" / "about.md").write_text("What it is.")
    (tmp_path / "studies" / "first.md").write_text("What is **seen**.")
    (tmp_path / "studies" / "caveats.md").write_text("- A doubt.")
    return tmp_path


def test_sections_of_what_there_is_in_order(folder: Path) -> None:
    page = report.render(folder)
    ids = re.findall(r'<section id="(\w+)">', page)
    assert ids == ["first", "second", "settings", "environment", "commands", "caveats"]
    assert re.findall(r'href="#(\w+)"', page) == ids
    assert "Third study" not in page
    for text in (
        "What it is.",
        "What is <strong>seen</strong>.",
        "<li>A doubt.</li>",
        "jojoscl -m experiment=first",
    ):
        assert text in page


def test_pictures_are_inside_and_nothing_is_fetched(folder: Path) -> None:
    page = report.render(folder)
    sources = re.findall(r'\bsrc="([^"]*)"', page)
    assert len(sources) == 3  # two by the glob, and the one that first.md shows
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.findall(r"<(?:link|script|iframe)\b|@import|url\(", page)
    assert "Drawn &lt;here&gt; (first_a)" in page


def test_tables(folder: Path) -> None:
    page = report.render(folder)
    assert "<td>2</td>" in page  # Markdown
    assert "<h3>Head</h3>" in page
    assert (
        "<td>0.600&nbsp;±&nbsp;0.141 / 0.600&nbsp;±&nbsp;0.000 (2)</td>" in page
    )  # runs, over seeds
    assert "<th>sccl, picked by labels</th>" in page
    assert "<summary>50 rows</summary>" in page  # as it is, folded
    assert "<td>0.1235</td>" in page


def test_settings_and_environment(folder: Path) -> None:
    page = report.render(folder)
    for path in (conf_dir() / "method").glob("*.yaml"):
        assert f"<summary><code>{path.stem}</code></summary>" in page
    assert "batch_size: 256" in page
    assert "<code>cccccccccccc</code> (2)" in page
    assert "<code>dddddddddddd+</code> (1)" in page
    assert "second.csv" not in page[page.index('id="environment"') :]  # no runs in it


def test_same_inputs_same_bytes(folder: Path) -> None:
    report.main(["--folder", str(folder)])
    assert (folder / "report.html").read_bytes() == report.render(folder).encode()


def spoil_nothing_there(folder: Path) -> None:
    for path in [*folder.glob("results/*"), *folder.glob("figures/*")]:
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "studies.yaml").unlink(), "There is no list of studies"),
        (
            lambda folder: (folder / "studies.yaml").write_text("- {name: a, titel: b}"),
            "is no list of studies",
        ),
        (
            lambda folder: (folder / "studies.yaml").write_text("- {name: a"),
            "is no list of studies",
        ),
        (lambda folder: (folder / "studies.yaml").write_text(""), "is no list of studies"),
        (spoil_nothing_there, "There is nothing to report"),
        (
            lambda folder: (folder / "results" / "second.csv").write_text(""),
            "cannot be read as a table",
        ),
        (lambda folder: (folder / "figures" / "d.png").unlink(), "There is no picture"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    spoil: Any, sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    with pytest.raises(SystemExit, match="2"):
        main(["report", "--folder", str(folder)])
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (folder / "report.html").exists()


def test_committed_studies_have_their_texts() -> None:
    studies = report.read_studies(HERE / "studies.yaml")
    shown = [s.name for s in studies if report.section(s, HERE)]
    for name in ("about", "caveats", *shown):
        assert (HERE / "studies" / f"{name}.md").exists(), name
    assert len({study.name for study in studies}) == len(studies)
