"""R data files: a matrix and the annotation of its cells, from what rdata makes of R's objects.

Objects of Bioconductor and Seurat hold much besides the cells. A path such as
``sce/colData/type`` names an object, and then what it holds: a slot, an element of a list, a
column, a variable of an environment. If a step is missing, the part of that name that is the least
far in is taken.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from rdata.conversion import REnvironment, SimpleConverter
from rdata.parser import parse_file

from jojoscl.cells.matrix import checked
from jojoscl.datasets.tables import to_cells
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import reading

_WHOLE = 0.02  # largest distance from a whole number of a count that comes out of logarithms

Parts: TypeAlias = Mapping[str, Any]
Names: TypeAlias = np.ndarray | None


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
    path, objects = paths[0], dict[str, object]()
    for one in paths:
        with reading(one):
            objects |= _Converter(default_encoding="utf_8").convert(parse_file(one))
    with reading(path):
        matrix = _largest(path, objects) if matrix is None else matrix
        x, columns, rows = _table(path, _found(path, objects, matrix), matrix)
        if transpose:
            x, columns, rows = x.T.tocsr(), rows, columns
        if genes is not None:
            rows = _vector(_found(path, objects, genes))
        elif rows is None:
            rows = _row_names(objects[matrix.partition("/")[0]], x.shape[1])
        held: Parts = objects
        if cells is None:
            others = (part for name, part in objects.items() if name != matrix)
            tables = (part for part in others if isinstance(part, pd.DataFrame))
            held = _parts(next((table for table in tables if len(table) == x.shape[0]), None))
        elif cells:
            held = _parts(_found(path, objects, cells))
        obs = {name: vector for name, part in held.items() if len(vector := _vector(part))}
        if cell_key is not None:
            table = pd.DataFrame(obs).set_index(cell_key).reindex(columns)
            obs = {str(name): values.to_numpy() for name, values in table.items()}
        obs = {name: values for name, values in obs.items() if len(values) == x.shape[0]}
        x = x if unlog is None else _unlogged(path, x, unlog, obs)
        return to_cells(path, x.astype(np.float32), obs, columns, rows)


class _Converter(SimpleConverter):  # type: ignore[misc]
    """Convert what rdata knows; what it does not, such as some functions, becomes None."""

    def _convert_next(self, data: object) -> object:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # classes without a constructor keep their slots
                return super()._convert_next(data)
        except Exception:
            return None


def _parts(o: object) -> Parts:
    """Return the elements of a list, columns of a table, slots or variables of an object."""
    match o:
        case REnvironment():
            return {**(o.frame or {}), **o.maps[0]}
        case pd.DataFrame():
            return {str(name): column for name, column in o.items()}
        case SimpleNamespace():
            return vars(o)
    return o if isinstance(o, dict) else {}


def _nearest(parts: Parts, step: str) -> object:
    """Return the part called `step` that is the least far in; None if there is none."""
    level, seen = [parts], set[int]()
    while level:
        for there in level:
            if step in there:
                return there[step]
        inner = {id(part): part for there in level for part in there.values()}
        level = [_parts(part) for number, part in inner.items() if number not in seen]
        seen |= inner.keys()
    return None


def _found(path: Path, objects: Parts, where: str) -> object:
    parts = objects
    for step in where.split("/"):
        if (found := _nearest(parts, step)) is None:
            raise UserError(f"{path} has no {where}: there is no {step!r}{nearest(step, parts)}.")
        parts = _parts(found)
    return found


def _vector(o: object) -> np.ndarray:
    """Return the entries of a vector, None or NaN where they are missing; none of others."""
    if isinstance(o, np.ma.MaskedArray):
        o = np.ma.filled(o.astype(float), np.nan)
    values = np.asarray(o) if hasattr(o, "__array__") else np.empty(0)
    return values if values.ndim == 1 else np.empty(0)


def _row_names(o: object, size: int) -> Names:
    """Return the names of a Bioconductor object's rows: its own, else those of its ranges."""
    parts = _parts(o)
    ranges = _nearest(_parts(parts.get("rowRanges")), "NAMES")
    both = _vector(parts.get("NAMES")), _vector(ranges)
    return next((names for names in both if len(names) == size), None)


def _shape(o: object) -> tuple[int, ...]:
    """Return rows and columns of a matrix or a data frame; nothing of other objects."""
    shape = tuple(map(int, getattr(o, "shape", getattr(o, "Dim", ()))))
    return shape if len(shape) == 2 else ()


def _largest(path: Path, objects: Parts) -> str:
    sizes = {name: np.prod(shape) for name, part in objects.items() if (shape := _shape(part))}
    if not sizes:
        raise UserError(f"{path} holds no table: give a file with a table of genes x cells.")
    return max(sizes, key=lambda name: sizes[name])


def _table(path: Path, o: object, where: str) -> tuple[sp.csr_matrix, Names, Names]:
    """Return the matrix turned (R's genes x cells is cells x genes here), and its names."""
    slots = _parts(o)
    if isinstance(o, pd.DataFrame):
        names = [None if isinstance(n, pd.RangeIndex) else n for n in (o.index, o.columns)]
        x = sp.csr_matrix(o.to_numpy(float, na_value=np.nan).T)
    elif {"Dim", "Dimnames", "i", "p", "x"} <= slots.keys():
        names = slots["Dimnames"]
        x = checked(sp.csr_matrix((slots["x"], slots["i"], slots["p"]), shape=_shape(o)[::-1]))
    elif _shape(o) and np.asarray(o).dtype.kind in "biuf":
        coords = getattr(o, "coords", None)
        names = [None, None] if coords is None else [coords.get(name) for name in coords.dims]
        x = sp.csr_matrix(np.asarray(o, float).T)
    else:
        raise UserError(f"{path}: {where} is no matrix of numbers, dense or a dgCMatrix.")
    rows, columns = (found if len(found := _vector(part)) else None for part in names)
    return x, columns, rows


def _unlogged(path: Path, x: sp.csr_matrix, unlog: str, obs: Parts) -> sp.csr_matrix:
    """Return the values whose logarithms to base 2 are x (see :func:`read_rda`)."""
    x = x.astype(float)
    x.data = np.exp2(x.data) - 1
    x.eliminate_zeros()
    if unlog == "values":
        return x
    if unlog == "smallest":
        factors = np.array([1 / row.data.min(initial=np.inf) for row in x])
    else:
        factors = obs[unlog].astype(float)
    counts = sp.csr_matrix(x.multiply(np.reshape(factors, (-1, 1))))
    if (far := np.abs(counts.data - counts.data.round()).max(initial=0)) > _WHOLE:
        raise UserError(f"{path}: its logarithms are not those of counts (off by {far:.2g}).")
    return counts.rint()
