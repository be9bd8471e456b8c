"""Tables in csv or tsv, plain, gzipped or one to a zip archive, read in bands of rows."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.matrix import BAND_BYTES, checked, stack_rows
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import reading

# summary rows that HTSeq appends to its table of genes; some versions put ``__`` before the names
HTSEQ_ROWS = ("no_feature", "ambiguous", "too_low_aQual", "not_aligned", "alignment_not_unique")
PEEKED = 100  # rows that decide which columns are annotation

Column: TypeAlias = np.ndarray | pd.Index | pd.Series


def read_table(*paths: Path, text: Collection[str] = (), transpose: bool = False) -> AnnData:
    """Read one table of cells x genes, or several with the same genes.

    Names of cells and genes stay as they are written.

    Parameters
    ----------
    paths
        The tables; the first column of each names the rows.
    text
        Columns that are annotation, although they hold numbers.
    transpose
        Whether the tables are genes x cells.
    """
    parts = [_read_one(path, text) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if not part.var_names.equals(parts[0].var_names):
            raise UserError(f"{path} has other genes than {paths[0]}: give the same.")
    with reading(paths[0]):
        x = sp.vstack([part.X for part in parts], format="csr")
        adata = AnnData(x, obs=pd.concat([part.obs for part in parts]), var=parts[0].var)
        adata = turned(adata) if transpose else adata
        return adata[:, ~adata.var_names.str.removeprefix("__").isin(HTSEQ_ROWS)].copy()


def turned(adata: AnnData) -> AnnData:
    """Return cells as genes, and genes as cells."""
    return AnnData(checked(adata.X.T), obs=adata.var, var=adata.obs)


def annotated(path: Path, adata: AnnData, metadata: Path, text: Collection[str] = ()) -> AnnData:
    """Add the columns of a table with a row for each cell, in any order.

    The column that names the cells is found by its content. A cell that the table does not name
    gets missing values. The columns of `text` stay as they are written.
    """
    with reading(metadata):
        names, layout = _layout(metadata)
        words = _read_csv(metadata, **layout, words=range(len(names)), na_filter=False)
        table = _read_csv(metadata, **layout, words=np.flatnonzero(names.isin(list(text))))
        words.columns = table.columns = names
    found = {name: int(words[name].isin(adata.obs_names).sum()) for name in words}
    key = max(found, key=lambda name: found[name])
    if not found[key]:
        way = "change data.transpose, or give a table that names them"
        raise UserError(f"{metadata} names none of the cells of {path}: {way}.")
    table.index = pd.Index(words[key])
    table = table.loc[~table.index.duplicated()].drop(columns=key).reindex(adata.obs_names)
    adata.obs = adata.obs.join(table, rsuffix="_metadata")
    return adata


def _read_one(path: Path, text: Collection[str]) -> AnnData:
    """Read a table whose first column names the rows; columns of words become annotation."""
    with reading(path):
        names, layout = _layout(path)
        first = _read_csv(path, **layout, words=[0], nrows=PEEKED)
        is_note = names.isin(list(text))
        for i in _words(first):
            is_note[i] |= first[i].dtype == bool or pd.to_numeric(first[i], "coerce").isna().all()
        noted, numbered = np.flatnonzero(is_note[1:]) + 1, np.flatnonzero(~is_note[1:]) + 1
        values, notes = [], []
        step = BAND_BYTES // 8 // len(names) + 1
        for band in _read_csv(path, **layout, words=[0, *noted], chunksize=step):
            notes.append(band[[0, *noted]].set_index(0))
            if words := _words(band[numbered]):
                column = names[words[0]]
                raise UserError(f"{path}: column {column!r} holds words: give a table of numbers.")
            values.append(sp.csr_matrix(band[numbered].to_numpy(np.float32)))
        obs = pd.concat(notes).set_axis(names[noted], axis=1).rename_axis(index=None)
        return AnnData(stack_rows(values), obs=obs, var=pd.DataFrame(index=names[numbered]))


def _words(table: pd.DataFrame) -> list[int]:
    """Return the columns, called by their places, that are not numbers throughout."""
    return [int(str(i)) for i in table.select_dtypes(exclude="number")]


def _layout(path: Path) -> tuple[pd.Index, dict[str, Any]]:
    """Return the names of a table's columns, and how pandas reads it, by its first two lines.

    R writes no name for the column of row names. Columns are read under their places.
    """
    lines = _read_csv(path, sep="\1", nrows=2, dtype=str, quoting=csv.QUOTE_NONE)[0]
    separator = max("\t,; ", key=lines[0].count)
    names, *rows = csv.reader(lines, delimiter=separator)
    if rows and len(rows[0]) == len(names) + 1:
        names = ["row names", *names]
    layout = {"sep": separator, "skiprows": 1, "names": range(len(names))}
    return pd.Index([name.strip() for name in names]), layout


def _read_csv(path: Path, words: Collection[int] = (), **more: Any) -> Any:
    """Read a table by pandas; the columns at the places `words` stay as they are written."""
    if pd.__version__ < "3":  # pandas 3 is exact, and deprecates the argument
        more["float_precision"] = "round_trip"
    as_written = dict.fromkeys(words, str)
    return pd.read_csv(path, header=None, low_memory=False, converters=as_written, **more)


def to_cells(
    path: Path,
    x: sp.csr_matrix,
    obs: Mapping[str, Column],
    obs_names: Column | None = None,
    var_names: Column | None = None,
) -> AnnData:
    """Put cells x genes and their annotation together; missing names are numbered."""
    cells, genes = (
        [f"{word}{i}" for i in range(size)] if names is None else np.asarray(names).astype(str)
        for word, size, names in zip(("cell", "gene"), x.shape, (obs_names, var_names), strict=True)
    )
    for name, values in {**obs, "names of cells": cells}.items():
        if len(values) != x.shape[0]:
            sizes = f"{len(values)} entries for {x.shape[0]} rows"
            raise UserError(f"{path}: {name} has {sizes}: change data.transpose, or the file.")
    columns = {name: np.asarray(values) for name, values in obs.items()}
    return AnnData(x, obs=pd.DataFrame(columns, index=cells), var=pd.DataFrame(index=genes))
