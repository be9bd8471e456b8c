"""Tables in csv or tsv, plain, gzipped or one to a zip archive, read in bands of rows."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.guard import reading, unpacked
from jojoscl.cells.matrix import BAND_BYTES, stack_rows, to_cells
from jojoscl.utils.errors import UserError

# summary rows that HTSeq appends to its table of genes; some versions put ``__`` before the names
HTSEQ_ROWS = {"no_feature", "ambiguous", "too_low_aQual", "not_aligned", "alignment_not_unique"}
MOST_COLUMNS = 1 << 21


def read_table(
    *paths: Path, metadata: Path | None = None, text: Iterable[str] = (), transpose: bool = False
) -> AnnData:
    """Read one table of cells x genes, or several with the same genes. The first column names the rows.

    `metadata` is a table with a row per cell; the column that names the cells is found by its
    content. `text` names columns that are annotation although they hold numbers. `transpose`: the
    tables are genes x cells.
    """
    parts = [_read_one(path, set(text)) for path in paths]
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
                f"{paths[0]}: column {notes.columns[0]!r} holds no numbers: give a table of numbers."
            )
        x, rows, columns = x.T.tocsr(), columns, rows
    genes = ~columns.str.removeprefix("__").isin(list(HTSEQ_ROWS))
    with reading(paths[0]):
        adata = to_cells(
            paths[0], x[:, genes], {str(name): notes[name] for name in notes}, rows, columns[genes]
        )
    return adata if metadata is None else annotated(paths[0], adata, metadata)


def annotated(path: Path, adata: AnnData, metadata: Path) -> AnnData:
    """Add the columns of a table with a row per cell; a cell that it does not name gets missing values."""
    with reading(metadata), _opened(metadata) as handle:
        table = pd.read_csv(handle, sep=_separator(metadata)[0])
    if not isinstance(
        table.index, pd.RangeIndex
    ):  # R leaves out the name of the column of row names
        table = table.reset_index(names="row names")
    known = {name: int(adata.obs_names.isin(table[name].astype(str)).sum()) for name in table}
    key = max(known, key=lambda name: known[name])
    if not known[key]:
        turned = any(adata.var_names.isin(table[name].astype(str)).any() for name in table)
        way_out = (
            "it looks transposed, change data.transpose"
            if turned
            else "give a table that names them"
        )
        raise UserError(f"{metadata} names none of the cells of {path}: {way_out}.")
    table.index = pd.Index(table[key].astype(str))
    found = table.loc[~table.index.duplicated()].drop(columns=key).reindex(adata.obs_names)
    beside = found.rename(columns={name: f"{name}_metadata" for name in found if name in adata.obs})
    adata.obs = adata.obs.join(beside)
    return adata


class _Part(NamedTuple):
    """One table: its numbers, its annotation (indexed by the names of the rows), the names of its columns."""

    values: sp.csr_matrix
    notes: pd.DataFrame
    names: pd.Index


def _read_one(path: Path, text: set[str]) -> _Part:
    with reading(path):
        separator, width = _separator(path)
        values: list[sp.csr_matrix] = []
        notes: list[pd.DataFrame] = []
        names = pd.Index([])
        with _opened(path) as handle:
            rows = BAND_BYTES // 8 // width + 1
            for band in pd.read_csv(
                handle, sep=separator, index_col=0, chunksize=rows, low_memory=False
            ):
                if not notes:
                    text = text | {name for name in _words(band) if _has_no_number(band[name])}
                band.index = band.index.astype(str)
                notes.append(band[[name for name in band if name in text]])
                numbers = band.drop(columns=notes[-1].columns)
                for name in _words(numbers):
                    raise UserError(
                        f"{path}: column {name!r} holds words among numbers: give a table of numbers."
                    )
                values.append(sp.csr_matrix(numbers.to_numpy(np.float32)))
                names = numbers.columns.astype(str)
        return _Part(stack_rows(values), pd.concat(notes), names)


def _has_no_number(column: pd.Series) -> bool:
    return column.dtype == bool or bool(pd.to_numeric(column, errors="coerce").isna().all())


def _words(table: pd.DataFrame) -> pd.Index:
    return table.select_dtypes(exclude="number").columns


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            inside = [
                i
                for i in archive.infolist()
                if not i.filename.startswith("__MACOSX") and not i.is_dir()
            ]
            if len(inside) != 1:
                raise UserError(
                    f"{path} holds {len(inside)} files: give an archive with one table."
                )
            with archive.open(inside[0]) as source, unpacked(path, source) as handle:
                yield handle
    else:
        opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
        with opener(path, "rb") as source, unpacked(path, source) as handle:
            yield handle


def _separator(path: Path) -> tuple[str, int]:
    """Return what separates the columns, and how many there are."""
    with _opened(path) as handle:
        first = handle.readline().decode()
    separator = max("\t,; ", key=first.count)
    if (width := first.count(separator) + 1) > MOST_COLUMNS:
        raise UserError(
            f"{path} has {width} columns, too many for a table: write the cells as h5ad."
        )
    return separator, width
