"""How options are read, and tables and pictures written: one way for all commands."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from jojoscl.utils.files import whole_file

HERE = Path(__file__).parent
RESULTS, FIGURES = HERE / "results", HERE / "figures"


def parser(
    command: str, doc: str | None, options: Mapping[str, Mapping[str, Any]]
) -> argparse.ArgumentParser:
    """Return the parser of a command: its own `options`, and the folders that all commands write to."""
    described = argparse.ArgumentParser(
        f"python -m experiments {command}", description=(doc or "").splitlines()[0]
    )
    for name, how in options.items():
        described.add_argument(name, **how)
    described.add_argument("--results", type=Path, default=RESULTS, help="folder of the tables")
    described.add_argument("--figures", type=Path, default=FIGURES, help="folder of the pictures")
    return described


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


def cell(scores: pd.DataFrame) -> str:
    """Return the mean of each column, +- sd where there are several rows, and the number of rows.

    >>> cell(pd.DataFrame({"ari": [0.5, 0.7]}))
    '0.600 +- 0.141 (2)'
    """
    if scores.empty:
        return "-"
    spread = scores.std().map(lambda sd: "" if pd.isna(sd) else f" +- {sd:.3f}")
    return (
        " / ".join(f"{mean:.3f}{sd}" for mean, sd in zip(scores.mean(), spread, strict=True))
        + f" ({len(scores)})"
    )


def by_set(runs: pd.DataFrame, keys: str | list[str], values: Sequence[str]) -> pd.DataFrame:
    """Return a row for each of `keys`, a column a set: such as ARI / NMI, mean +- sd (number of seeds).

    Of several sets their mean too, where a row has all of them.
    """
    types = runs.groupby("dataset")["n_types"].first()
    rows = {}
    for key, group in runs.groupby(keys, sort=False):
        cells = [
            cell(group.loc[group["dataset"] == dataset, list(values)]) for dataset in types.index
        ]
        means = group.groupby("dataset")[list(values)].mean()
        whole = len(means) == len(types)
        rows[key] = [*cells, " / ".join(map("{:.3f}".format, means.mean())) if whole else "-"]
    header = [f"{dataset} ({number:.0f} types)" for dataset, number in types.items()]
    table = pd.DataFrame(list(rows.values()), pd.Index(list(rows)), [*header, "mean"])
    return table if len(types) > 1 else table.drop(columns="mean")


def write(path: Path, text: str) -> None:
    """Write `text`, which ends with one line break, and print the path."""
    with whole_file(path) as temporary:
        temporary.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    print(path)


def save(figure: Any, path: Path, dpi: int = 150, **options: Any) -> None:
    """Write a PNG of 256 colours: a third of the size, and the eye sees no difference."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, **options)
    with whole_file(path) as temporary:
        Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
            temporary, optimize=True
        )
    print(path)
