"""How options are read, and tables, pages and pictures written: one way for all commands."""

from __future__ import annotations

import argparse
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image

from jojoscl.utils.files import whole_file

HERE = Path(__file__).parent
RESULTS, FIGURES = HERE / "results", HERE / "figures"
Shown = Mapping[str, tuple[str, Callable[[Any], str]]]  # title and text of a column's values
GIVEN = {True: "given", False: "finds", None: "–"}  # by whether a method is given K


def parser(
    command: str, doc: str | None, options: Mapping[str, Mapping[str, Any]]
) -> argparse.ArgumentParser:
    """Return the parser of a command: its `options`, and the folders all commands write to."""
    described = argparse.ArgumentParser(
        f"python -m experiments {command}", description=(doc or "").splitlines()[0]
    )
    for name, how in options.items():
        described.add_argument(name, **how)
    described.add_argument("--results", type=Path, default=RESULTS, help="folder of the tables")
    described.add_argument("--figures", type=Path, default=FIGURES, help="folder of the pictures")
    return described


def number(value: float, signed: bool = False, digits: int = 3) -> str:
    """Return a number with three decimals, without the zero before the point; – for NaN.

    >>> number(0.66812), number(-0.14, signed=True), number(1), number(-0.0001)
    ('.668', '−.140', '1.000', '.000')
    """
    if pd.isna(value):
        return "–"
    value = round(value, digits) + 0.0  # no -0
    sign = "+" if signed and value else ""
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.{digits}f}").replace("-", "−")


two, signed = partial(number, digits=2), partial(number, signed=True)


def probability(value: float) -> str:
    """Return a p value; see :func:`number`."""
    return "<.001" if value < 0.001 else number(value)


def grid(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table, without a line break at its end.

    >>> print(grid(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    header = list(header)
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


def markdown(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown, its columns as the header."""
    return grid(table.columns, table.to_numpy())


def columns(table: pd.DataFrame, shown: Shown) -> pd.DataFrame:
    """Return some columns as texts under the titles that readers see."""
    texts = {title: table[name].map(text) for name, (title, text) in shown.items()}
    return pd.DataFrame(texts, index=table.index)


def cell(scores: pd.DataFrame) -> str:
    """Return the mean of each column, +- sd where there are several rows, and the number of rows.

    >>> cell(pd.DataFrame({"ari": [0.5, 0.7]}))
    '0.600 +- 0.141 (2)'
    """
    if scores.empty:
        return "-"
    spread = scores.std().map(lambda sd: "" if pd.isna(sd) else f" +- {sd:.3f}")
    texts = (f"{mean:.3f}{sd}" for mean, sd in zip(scores.mean(), spread, strict=True))
    return f"{' / '.join(texts)} ({len(scores)})"


def by_set(runs: pd.DataFrame, keys: str | list[str], values: Sequence[str]) -> pd.DataFrame:
    """Return a row for each of `keys`, a column a set: the :func:`cell` of `values`, such as ARI.

    Of several sets their mean too, where a row has all of them.
    """
    types = runs.groupby("dataset")["n_types"].first()
    rows = {}
    for key, group in runs.groupby(keys, sort=False):
        of = dict(list(group.groupby("dataset")[list(values)]))
        cells = [cell(of.get(dataset, pd.DataFrame())) for dataset in types.index]
        mean = group.groupby("dataset")[list(values)].mean().mean()
        whole = len(of) == len(types)
        rows[key] = [*cells, " / ".join(map("{:.3f}".format, mean)) if whole else "-"]
    header = [f"{dataset} ({number:.0f} types)" for dataset, number in types.items()]
    table = pd.DataFrame(list(rows.values()), pd.Index(list(rows)), [*header, "mean"])
    return table if len(types) > 1 else table.drop(columns="mean")


@dataclass(frozen=True)
class Section:
    """A table of texts under a title, and what must be known to read it."""

    title: str
    table: pd.DataFrame
    note: str = ""


def write_page(
    shown: Sequence[Section],
    table: Path,
    command: str,
    figures: Mapping[Path, str] = MappingProxyType({}),
) -> None:
    """Write the sections beside `table`, as Markdown; `figures` are pictures and what each shows.

    A note that the next section shares stands once, below the last of them.
    """
    made = f"Made by `python -m experiments {command}`; do not edit."
    parts = [f"# Results of `{table.name}`", made]
    for section, following in zip(shown, [*shown[1:], None], strict=True):
        parts += [f"## {section.title}", "" if section.table.empty else markdown(section.table)]
        parts += [section.note] if following is None or following.note != section.note else []
    parts += [f"![{what}]({os.path.relpath(path, table.parent)})" for path, what in figures.items()]
    write(table.with_suffix(".md"), "\n\n".join(filter(None, parts)))


def write(path: Path, text: str) -> None:
    """Write `text`, which ends with one line break, and print the path."""
    with whole_file(path) as temporary:
        temporary.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    print(path)


def save(figure: Any, path: Path, dpi: int = 150, **options: Any) -> None:
    """Write a PNG of 256 colours: a third of the size, and the eye sees no difference."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, **options)
    picture = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    with whole_file(path) as temporary:
        picture.save(temporary, optimize=True)
    plt.close(figure.figure)  # seaborn's stay open otherwise
    print(path)
