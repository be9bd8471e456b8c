"""Tables in csv or tsv, plain, gzipped or one to a zip archive, read in bands of rows."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.matrix import BAND_BYTES, stack_rows
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import reading

# summary rows that HTSeq appends to its table of genes; some versions put ``__`` before the names
HTSEQ_ROWS = ("no_feature", "ambiguous", "too_low_aQual", "not_aligned", "alignment_not_unique")
PEEKED = 100  # rows that decide which columns are annotation

Column: TypeAlias = np.ndarray | pd.Index | pd.Series


def read_table(
    *paths: Path,
    metadata: Path | None = None,
    text: Collection[str] = (),
    transpose: bool = False,
) -> AnnData:
    """Read one table of cells x genes, or several with the same genes.

    Names of cells and genes stay as they are written.

    Parameters
    ----------
    paths
        The tables; the first column of each names the rows.
    metadata
        A table with a row for each cell (see :func:`annotated`).
    text
        Columns that are annotation, although they hold numbers.
    transpose
        Whether the tables are genes x cells.
    """
    parts = [_read_one(path, text) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if not part.names.equals(parts[0].names):
            raise UserError(
                f"{path} has other columns than {paths[0]}: give tables with the same genes."
            )
    x = sp.vstack([part.values for part in parts], format="csr")
    notes = pd.concat([part.notes for part in parts])
    rows, columns = notes.index, parts[0].names
    if transpose:
        if notes.shape[1]:
            raise UserError(
                f"{paths[0]}: column {notes.columns[0]!r} holds no numbers: give a table of "
                "numbers."
            )
        x, rows, columns = x.T.tocsr(), columns, rows
    genes = ~columns.str.removeprefix("__").isin(HTSEQ_ROWS)
    with reading(paths[0]):
        obs = {str(name): notes[name] for name in notes}
        adata = to_cells(paths[0], x[:, genes], obs, rows, columns[genes])
    return adata if metadata is None else annotated(paths[0], adata, metadata, text)


def annotated(path: Path, adata: AnnData, metadata: Path, text: Collection[str] = ()) -> AnnData:
    """Add the columns of a table with a row for each cell, in any order.

    The column that names the cells is found by its content. A cell that the table does not name
    gets missing values. The columns of `text` stay as they are written.
    """
    with reading(metadata):
        layout = _Layout.of(metadata)
        words = next(layout.read(range(len(layout.names)), na_filter=False))
        table = next(layout.read([i for i, name in enumerate(layout.names) if name in text]))
        words.columns = table.columns = pd.Index(layout.names)
    found = {name: int(words[name].isin(adata.obs_names).sum()) for name in words}
    key = max(found, key=lambda name: found[name])
    if not found[key]:
        turned = any(words[name].isin(adata.var_names).any() for name in words)
        way_out = (
            "it looks transposed, change data.transpose"
            if turned
            else "give a table that names them"
        )
        raise UserError(f"{metadata} names none of the cells of {path}: {way_out}.")
    table.index = pd.Index(words[key])
    table = table.loc[~table.index.duplicated()].drop(columns=key).reindex(adata.obs_names)
    beside = table.rename(columns={name: f"{name}_metadata" for name in table if name in adata.obs})
    adata.obs = adata.obs.join(beside)
    return adata


class _Part(NamedTuple):
    """One table: its numbers, its annotation (by the names of the rows), its columns' names."""

    values: sp.csr_matrix
    notes: pd.DataFrame
    names: pd.Index


def _read_one(path: Path, text: Collection[str]) -> _Part:
    with reading(path):
        layout = _Layout.of(path)
        names = pd.Index(layout.names)
        first = next(layout.read([0], nrows=PEEKED))
        is_note = names.isin(list(text))
        is_note[[i for i in _words(first) if _has_no_number(first[i])]] = True
        is_note[0] = False
        noted, numbered = np.flatnonzero(is_note), np.flatnonzero(~is_note)[1:]
        values: list[sp.csr_matrix] = []
        notes: list[pd.DataFrame] = []
        for band in layout.read([0, *noted], chunksize=BAND_BYTES // 8 // len(names) + 1):
            notes.append(band[noted].set_axis(band[0], axis=0).set_axis(names[noted], axis=1))
            numbers = band[numbered]
            for i in _words(numbers):
                raise UserError(
                    f"{path}: column {names[i]!r} holds words among numbers: give a table of "
                    "numbers."
                )
            values.append(sp.csr_matrix(numbers.to_numpy(np.float32)))
        return _Part(stack_rows(values), pd.concat(notes), names[numbered])


def _words(table: pd.DataFrame) -> list[int]:
    """Return the columns, called by their places, that are not numbers throughout."""
    return [int(str(i)) for i in table.select_dtypes(exclude="number")]


def _has_no_number(column: pd.Series) -> bool:
    return column.dtype == bool or bool(pd.to_numeric(column, errors="coerce").isna().all())


class _Layout(NamedTuple):
    """What separates the columns of a table, and what they are called."""

    path: Path
    separator: str
    names: list[str]

    @classmethod
    def of(cls, path: Path) -> _Layout:
        """Look at the first two lines; R writes no name for the column of row names."""
        lines = _read_csv(path, sep="\1", nrows=2, dtype=str, quoting=csv.QUOTE_NONE)[0]
        separator = max("\t,; ", key=lines[0].count)
        names, *rows = csv.reader(lines, delimiter=separator)
        if rows and len(rows[0]) == len(names) + 1:
            names = ["row names", *names]
        return cls(path, separator, [name.strip() for name in names])

    def read(
        self, words: Collection[int], *, chunksize: int | None = None, **more: Any
    ) -> Iterator[pd.DataFrame]:
        """Return bands of rows, all in one by default; columns are called by their places.

        The columns at the places `words` stay as they are written.
        """
        read = _read_csv(
            self.path,
            sep=self.separator,
            skiprows=1,
            names=range(len(self.names)),
            converters=dict.fromkeys(words, str),
            chunksize=chunksize,
            **more,
        )
        return iter([read] if chunksize is None else read)


def _read_csv(path: Path, **more: Any) -> Any:
    if pd.__version__ < "3":  # pandas 3 is exact, and deprecates the argument
        more["float_precision"] = "round_trip"
    return pd.read_csv(path, header=None, index_col=None, low_memory=False, **more)


def to_cells(
    path: Path,
    x: sp.csr_matrix,
    obs: Mapping[str, Column],
    obs_names: Column | None = None,
    var_names: Column | None = None,
) -> AnnData:
    """Put cells x genes and their annotation together; missing names are numbered."""
    cells, genes = (
        pd.Index(
            [f"{word}{i}" for i in range(size)] if given is None else np.asarray(given).astype(str)
        )
        for word, size, given in (("cell", x.shape[0], obs_names), ("gene", x.shape[1], var_names))
    )
    for name, values in {**obs, "names of cells": cells}.items():
        if len(values) != x.shape[0]:
            turned = "it looks transposed, change data.transpose"
            way_out = turned if len(values) == x.shape[1] else "give a file whose parts fit"
            raise UserError(
                f"{path}: {name} has {len(values)} entries for {x.shape[0]} rows: {way_out}."
            )
    columns = {name: np.asarray(values) for name, values in obs.items()}
    return AnnData(x, obs=pd.DataFrame(columns, index=cells), var=pd.DataFrame(index=genes))
