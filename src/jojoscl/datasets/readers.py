"""Readers of the formats that public single-cell data come in.

Each gives an AnnData of cells x genes: X float32 CSR, `obs` the annotation in or beside the file.
Of an h5ad only the matrix that is asked for is read, not its other layers and graphs, which
`anndata.read_h5ad` would read. A file that cannot be read is a
:class:`~jojoscl.utils.errors.UserError` that names it.
"""

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp
import zarr
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset

from jojoscl.cells.matrix import Stored, check_stored, checked, row_chunks, stack_rows
from jojoscl.datasets.rda import read_rda
from jojoscl.datasets.tables import annotated, read_table, to_cells, turned
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import reading

log = logging.getLogger(__name__)

TABLES = (".csv", ".tsv", ".txt", ".zip")
KNOWN = (".h5ad", ".zarr", ".h5", ".hdf5", ".rda", ".rdata", *TABLES)
_ELSEWHERE = {
    ".loom": "anndata.io.read_loom(path)",
    ".mtx": "scanpy.read_10x_mtx(folder)",
    ".h5mu": "mudata.read_h5mu(path)['rna']",
}
_CHUNK_CACHE = 1 << 30  # bytes; a file that is one tall packed chunk is then unpacked only once
_OF_CELLS, _OF_GENES = ("cell", "barcode", "obs"), ("gene", "feature", "symbol", "var")


def read_file(
    path: Path,
    *,
    layer: str | None = None,
    metadata: Path | None = None,
    label_key: str | None = None,
    transpose: bool = False,
    backed: bool = False,
) -> AnnData:
    """Read any known format; the suffix says which it is.

    Parameters
    ----------
    path
        The file, or the folder of a zarr.
    layer
        What becomes X: None is X, ``raw`` is raw.X, or a layer of an h5ad or zarr.
    metadata
        A table with a row for each cell.
    label_key
        The column with the types, which in a table may be numbers like the genes beside them.
    transpose
        Whether the file is genes x cells; of an R data file, which is so: whether it is not.
    backed
        Whether the matrix stays in its file.
    """
    suffix = _known_suffix(path)
    text = [label_key] if label_key else []
    stored = suffix in (".h5ad", ".zarr")
    if backed and (transpose or not stored):
        raise UserError(f"{path} cannot stay in its file: take data.backed=false.")
    if stored:
        adata = _stored(path, layer, backed=backed)
        adata = turned(adata) if transpose else adata
    elif layer is not None:
        raise UserError(f"{path} has no layers: leave out data.layer.")
    elif suffix in TABLES:
        adata = read_table(path, text=text, transpose=transpose)
    else:
        adata = (read_rda if suffix in (".rda", ".rdata") else read_h5)(path, transpose=transpose)
    return adata if metadata is None else annotated(path, adata, metadata, text)


def _known_suffix(path: Path) -> str:
    """Return the suffix, of a packed table that beneath .gz; refuse what is not read here."""
    inner = Path(path.name.lower().removesuffix(".gz")).suffix
    suffix = inner if inner in (*TABLES, ".mtx") else path.suffix.lower()
    if os.path.isdir(path):
        suffix = ".mtx" if any(path.glob("*matrix.mtx*")) else suffix or ".zarr"
    if suffix not in KNOWN:
        way = "give a file in " + ", ".join(KNOWN) + " (tables also packed by gzip)"
        if suffix in _ELSEWHERE:
            way = f"write it as h5ad by {_ELSEWHERE[suffix]}.write_h5ad('cells.h5ad')"
        raise UserError(f"{path} is of a format that is not read here: {way}.")
    return suffix


def _stored(path: Path, layer: str | None, *, backed: bool) -> AnnData:
    """Read what anndata wrote: one matrix, or a reference to it with `backed`, obs and var."""
    with reading(path):
        root: h5py.Group = zarr.open_group(path, mode="r") if path.is_dir() else h5py.File(path)
        raw = layer == "raw" and "layers/raw" not in root
        place = "X" if layer is None else "raw/X" if raw else f"layers/{layer}"
        if place not in root:
            there = [*root.get("layers", ()), *(["raw"] if "raw/X" in root else [])]
            names = ", ".join(there) or "none"
            raise UserError(f"{path} has no {place}: give data.layer (there are: {names}).")
        x: Stored = sparse_dataset(root[place]) if hasattr(root[place], "keys") else root[place]
        check_stored(x)
        obs, var = (read_elem(root[key]) for key in ("obs", "raw/var" if raw else "var"))
        if isinstance(obs, np.ndarray):
            way = "write it anew by anndata.read_h5ad(path).write_h5ad(path)"
            raise UserError(f"{path} is of anndata before 0.7: {way}.")
        return AnnData(x if backed else _loaded(x), obs=obs, var=var)


def _loaded(x: Stored) -> sp.csr_matrix:
    """Read a matrix that is in its file into memory, as float32 CSR."""
    if not hasattr(x, "group"):
        return stack_rows(row_chunks(x))
    return checked(x.to_memory()).astype(np.float32)


def read_h5(path: Path, *, transpose: bool = False) -> AnnData:
    """Read an h5 of one of three layouts.

    `X` (cells x genes) and `Y` (the type of each cell); scziDesk's `exprs`; or that of 10x
    Genomics, by scanpy.
    """
    with reading(path), h5py.File(path, rdcc_nbytes=_CHUNK_CACHE) as file:
        if any(isinstance(node, h5py.Group) and "barcodes" in node for node in file.values()):
            import scanpy as sc  # slow to import, and needed only here

            adata = sc.read_10x_h5(path, gex_only=False)
            return turned(adata) if transpose else adata
        key = "exprs" if "exprs" in file else "X"
        if key not in file:
            raise UserError(f"{path} holds neither X nor exprs, but {', '.join(file)}.")
        x = _matrix(file[key])
        x = x.T.tocsr() if transpose else x
        if x.shape[0] == x.shape[1]:
            what = f"its {'columns' if transpose else 'rows'} are taken as cells"
            log.warning("%s is square: %s; if they are genes, change data.transpose", path, what)
        types = {"Y": _values(file["Y"])} if "Y" in file else {}
        obs = {name: _values(node) for name, node in file.get("obs", {}).items()}
        named = [node for node in file.values() if getattr(node, "ndim", 0) == 1]
        texts = {node.name: _values(node) for node in named if node.dtype.kind in "SO"}
        n_cells, n_genes = x.shape if x.shape[0] != x.shape[1] else (0, 0)
        names = _named(texts, _OF_CELLS, n_cells), _named(texts, _OF_GENES, n_genes)
        return to_cells(path, x, types | obs, *names)


def _named(texts: Mapping[str, np.ndarray], words: Collection[str], n: int) -> np.ndarray | None:
    """Return the first field of different values that one of `words` names, or that has n."""
    named = [texts[key] for key in texts if any(word in key.lower() for word in words)]
    fits = [values for values in texts.values() if len(values) == n]
    return next((values for values in named + fits if len(set(values)) == len(values)), None)


def _matrix(node: h5py.Group | h5py.Dataset) -> sp.csr_matrix:
    """Read a matrix: a dense dataset, or data, indices, indptr and shape of a CSR."""
    if isinstance(node, h5py.Dataset):
        check_stored(node)
        return _loaded(node)
    parts = tuple(node[name][()] for name in ("data", "indices", "indptr"))
    return checked(sp.csr_matrix(parts, shape=tuple(node["shape"][()]))).astype(np.float32)


def _values(node: h5py.Dataset) -> np.ndarray:
    return np.ravel(node.asstr()[()] if node.dtype.kind in "SO" else node[()])
