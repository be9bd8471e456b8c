"""R data files: a matrix and the annotation of its cells, taken from the objects that R wrote.

Objects of Bioconductor and Seurat hold much besides the cells, and code that no converter knows, so
only the parts that are asked for are converted. A path such as ``sce/colData/type`` names an
object, and then what it holds: a slot, an attribute, an element of a list, a column, a variable of
an environment. If a step is missing, the part of that name that is the least far in is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from rdata.parser import RObject, RObjectType, parse_file

from jojoscl.cells.matrix import checked
from jojoscl.datasets.tables import to_cells
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import reading

_DEEPEST = 8  # levels at which a part is looked for
_WHOLE = 0.02  # largest distance from a whole number of a count that comes out of logarithms
_NUMBERS = (RObjectType.INT, RObjectType.REAL, RObjectType.LGL)

Parts: TypeAlias = dict[str, RObject]


def read_rda(
    *paths: Path,
    matrix: str | None = None,
    cells: str | None = None,
    genes: str | None = None,
    cell_key: str | None = None,
    transpose: bool = False,
    unlog: str | None = None,
) -> AnnData:
    """Read a matrix of genes x cells and the annotation of its cells, from one or several files.

    Parameters
    ----------
    paths
        The files. What they hold is put together.
    matrix
        Path of the matrix: dense, a dgCMatrix or a data frame. None is the largest object.
    cells
        Path of a list or data frame whose vectors with an entry for each cell are the annotation.
        "" is the file itself; None is a data frame with a row for each cell.
    genes
        Path of the genes' names, if the matrix does not have them.
    cell_key
        Column of `cells` that names the cells, if they are in another order there.
    transpose
        Whether the matrix is cells x genes.
    unlog
        How logarithms become counts x again: ``values`` if they are log2(x + 1); ``smallest`` if
        they are log2(k x + 1) and the smallest x of each cell is 1; or the column of `cells` that
        has s in log2(x / s + 1).
    """
    objects: Parts = {}
    for path in paths:
        objects |= _objects(path)
    path = paths[0]
    with reading(path):
        matrix = _largest(path, objects) if matrix is None else matrix
        x, columns, rows = _table(path, _found(path, objects, matrix), matrix)
        if transpose:
            x, columns, rows = x.T.tocsr(), rows, columns
        if genes is not None:
            rows = _values(_found(path, objects, genes))
        elif rows is None:
            rows = _row_names(objects[matrix.partition("/")[0]], x.shape[1])
        if cells is None:
            others = (part for name, part in objects.items() if name != matrix)
            fitting = (part for part in others if _shape(part)[:1] == x.shape[:1])
            held = next((found for part in fitting if (found := _elements(part))), {})
        else:
            held = _elements(_found(path, objects, cells)) if cells else objects
        obs = {name: values for name, part in held.items() if len(values := _values(part))}
        if cell_key is not None:
            table = pd.DataFrame(obs).set_index(cell_key).reindex(columns)
            obs = {str(name): values.to_numpy() for name, values in table.items()}
        obs = {name: values for name, values in obs.items() if len(values) == x.shape[0]}
        x = x if unlog is None else _unlogged(path, x, unlog, obs)
        return to_cells(path, x.astype(np.float32), obs, columns, rows)


def _objects(path: Path) -> Parts:
    with reading(path):
        return dict(_pairs(parse_file(path).object))


def _behind(o: RObject) -> RObject:
    while o.info.type is RObjectType.REF:
        o = o.referenced_object
    return o


def _text(o: RObject) -> str | None:
    """Return the text of a symbol or of a vector's entry; None where it is missing."""
    o = _behind(o)
    o = o.value if o.info.type is RObjectType.SYM else o
    return o.value.decode("utf-8", "replace") if isinstance(o.value, bytes) else None


def _pairs(o: RObject | None) -> Iterator[tuple[str, RObject]]:
    while o is not None and o.info.type is RObjectType.LIST:
        if o.tag is not None:
            yield _text(o.tag) or "", _behind(o.value[0])
        o = o.value[1]


def _slots(o: RObject) -> Parts:
    return dict(_pairs(o.attributes))


def _elements(o: RObject) -> Parts:
    """Return the elements of a list or the columns of a data frame, by name."""
    names = _slots(o).get("names")
    if o.info.type is not RObjectType.VEC or names is None:
        return {}
    return {str(name): _behind(part) for name, part in zip(_values(names), o.value, strict=True)}


def _parts(o: RObject) -> Parts:
    parts = _slots(o) | _elements(o)
    if o.info.type is RObjectType.ENV:
        table = o.value.hash_table
        for chain in (o.value.frame, *(table.value if table.info.type is RObjectType.VEC else ())):
            parts |= _pairs(chain)
    return parts


def _nearest(parts: Parts, step: str) -> RObject | None:
    """Return the part called `step` that is the least far in; None if there is none."""
    level, seen = [parts], set[int]()
    for _ in range(_DEEPEST):
        for there in level:
            if step in there:
                return there[step]
        inner = {
            id(part): part for there in level for part in there.values() if id(part) not in seen
        }
        seen |= inner.keys()
        level = [_parts(part) for part in inner.values()]
    return None


def _found(path: Path, parts: Parts, where: str) -> RObject:
    for step in where.split("/"):
        if (found := _nearest(parts, step)) is None:
            raise UserError(f"{path} has no {where}: there is no {step!r}{nearest(step, parts)}.")
        parts = _parts(found)
    return found


def _values(o: RObject) -> np.ndarray:
    """Return the entries of a vector (words of a factor); None or NaN where they are missing."""
    if o.info.type is RObjectType.STR:
        return np.array([_text(item) for item in o.value], dtype=object)
    if o.info.type not in _NUMBERS:
        return np.empty(0)
    if (levels := _slots(o).get("levels")) is not None:
        words = np.append(_values(levels), [None])
        return words[np.ma.filled(o.value, len(words)) - 1]
    return (
        np.ma.filled(o.value.astype(float), np.nan)
        if np.ma.is_masked(o.value)
        else np.asarray(o.value)
    )


def _names(o: RObject, size: int) -> np.ndarray | None:
    names = _values(_behind(o))
    return names if names.dtype == object and len(names) == size else None


def _row_names(o: RObject, size: int) -> np.ndarray | None:
    """Return the names of a Bioconductor object's rows: its own, else those of its ranges."""
    slots = _slots(o)
    ranges = _nearest(_parts(slots["rowRanges"]), "NAMES") if "rowRanges" in slots else None
    for part in (slots.get("NAMES"), ranges):
        if part is not None and (names := _names(part, size)) is not None:
            return names
    return None


def _shape(o: RObject) -> tuple[int, ...]:
    """Return rows and columns of a matrix or a data frame; nothing of other objects."""
    slots = _slots(o)
    if "row.names" in slots:
        return (len(_behind(o.value[0]).value) if o.value else 0), len(o.value)
    dim = slots.get("dim", slots.get("Dim"))
    return () if dim is None or len(dim.value) != 2 else tuple(map(int, dim.value))


def _largest(path: Path, objects: Parts) -> str:
    sizes = {name: np.prod(shape) for name, part in objects.items() if (shape := _shape(part))}
    if not sizes:
        raise UserError(f"{path} holds no table: give a file with a table of genes x cells.")
    return max(sizes, key=lambda name: sizes[name])


def _table(
    path: Path, o: RObject, where: str
) -> tuple[sp.csr_matrix, np.ndarray | None, np.ndarray | None]:
    """Return the matrix turned (R's genes x cells is cells x genes here), and its names."""
    slots, shape = _slots(o), _shape(o)
    names: list[RObject] = []
    if {"Dim", "i", "p", "x"} <= slots.keys():
        parts = tuple(slots[name].value for name in "xip")
        x = checked(sp.csr_matrix(parts, shape=shape[::-1]))
        names = slots["Dimnames"].value
    elif "row.names" in slots:
        x = sp.csr_matrix(np.vstack([_values(_behind(column)).astype(float) for column in o.value]))
        names = [slots["row.names"], slots["names"]]
    elif shape and o.info.type in _NUMBERS:
        x = sp.csr_matrix(_values(o).astype(float).reshape(shape[::-1]))
        names = slots["dimnames"].value if "dimnames" in slots else []
    else:
        raise UserError(
            f"{path}: {where} is no matrix of numbers, dense or a dgCMatrix: give one that is."
        )
    if not names:
        return x, None, None
    rows, columns = (_names(name, size) for name, size in zip(names, shape, strict=True))
    return x, columns, rows


def _unlogged(
    path: Path, x: sp.csr_matrix, unlog: str, obs: dict[str, np.ndarray]
) -> sp.csr_matrix:
    """Return the values whose logarithms to base 2 are x (see :func:`read_rda`)."""
    x = x.astype(float)
    x.data = np.exp2(x.data) - 1
    x.eliminate_zeros()
    if unlog == "values":
        return x
    rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    if unlog == "smallest":
        smallest = np.full(x.shape[0], np.inf)
        np.minimum.at(smallest, rows, x.data)
        x.data /= smallest[rows]
    else:
        x.data *= obs[unlog].astype(float)[rows]
    counts = x.data.round()
    if (far := np.abs(x.data - counts).max(initial=0)) > _WHOLE:
        raise UserError(
            f"{path}: its logarithms are not those of counts (off by {far:.2g}): get the "
            "published file."
        )
    x.data = counts
    return x
