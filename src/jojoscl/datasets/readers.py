"""Readers of the formats that public single-cell data come in.

Each gives an AnnData of cells x genes: X float32 CSR, `obs` the annotation in or beside the file.
Dense matrices are read in bands of rows. A file that cannot be read is a
:class:`~jojoscl.utils.errors.UserError` that names it.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata import AnnData
from anndata.io import read_elem

from jojoscl.cells.guard import check_declared, check_room, is_there, reading, sparse_of
from jojoscl.cells.matrix import check_stored, loaded, matrix_in, to_cells
from jojoscl.datasets.rda import read_rda
from jojoscl.datasets.tables import annotated, read_table
from jojoscl.utils.errors import UserError

TABLES = (".csv", ".tsv", ".txt", ".zip")
_CHUNK_CACHE = (
    1 << 30
)  # bytes at most: some files are one tall packed chunk, which each band would unpack anew
_ELSEWHERE = {".loom": "anndata.io.read_loom(path)", ".mtx": "scanpy.read_10x_mtx(folder)"}


def read_file(
    path: Path,
    *,
    layer: str | None = None,
    metadata: Path | None = None,
    label_key: str | None = None,
    transpose: bool = False,
) -> AnnData:
    """Read any known format, told by the suffix.

    `layer` of an h5ad or zarr becomes X (None is X, ``raw`` is raw.X). `metadata` is a table with a
    row per cell. `label_key` matters in a table whose types are numbers, like the genes beside
    them. `transpose`: the file is genes x cells (an R data file always is: there it means cells x
    genes).
    """
    suffix = _known_suffix(path)
    if suffix in (".h5ad", ".zarr"):
        adata = _in_memory(path, layer, transpose)
    elif layer is not None:
        raise UserError(
            f"{path} has no layer {layer!r}: leave out data.layer, which is for h5ad and zarr."
        )
    elif suffix in TABLES:
        text = [label_key] if label_key else []
        return read_table(path, metadata=metadata, text=text, transpose=transpose)
    else:
        adata = (read_rda if suffix in (".rda", ".rdata") else read_h5)(path, transpose=transpose)
    return adata if metadata is None else annotated(path, adata, metadata)


def _known_suffix(path: Path) -> str:
    """Return the suffix in small letters, without that of gzip; a format that is not read names the way out."""
    name = path.name.lower()
    if is_there(path) and path.is_dir():
        return ".zarr"
    suffix = Path(name.removesuffix(".gz")).suffix
    if not suffix and path.is_dir() and any(path.glob("*matrix.mtx*")):
        suffix = ".mtx"
    if suffix in _ELSEWHERE:
        way = f"{_ELSEWHERE[suffix]}.write_h5ad('cells.h5ad')"
        raise UserError(
            f"{path} is of a format that is not read here: write it as h5ad, in Python by {way}."
        )
    known = (".h5ad", ".zarr", ".h5", ".hdf5", ".rda", ".rdata", *TABLES)
    if suffix not in known:
        raise UserError(f"{path} has no known suffix: give a file in {', '.join(known)}.")
    if name.endswith(".gz") and suffix not in TABLES:
        raise UserError(
            f"{path} is packed, and only tables are read so: unpack it first, by gunzip {path.name}."
        )
    return suffix


def open_backed(path: Path, *, layer: str | None = None) -> AnnData:
    """Open an h5ad, h5 or zarr; X, which is `layer`, ``raw`` or X there, stays in its file; obs and var are read."""
    with reading(path):
        if not path.is_dir() and not h5py.is_hdf5(path):
            path.open("rb").close()  # may it be read at all?
            raise UserError(
                f"{path} cannot stay in its file: data.backed=true needs an h5ad, an h5 or a zarr."
            )
        return _annotated_matrix(path, _root(path), layer, load=False)


def _in_memory(path: Path, layer: str | None, transpose: bool) -> AnnData:
    with reading(path):
        root = _root(path)
        try:
            adata = _annotated_matrix(path, root, layer, load=True)
        finally:
            if isinstance(root, h5py.File):
                root.close()
        return _transposed(adata) if transpose else adata


def _root(path: Path) -> h5py.Group:
    return zarr.open_group(path, mode="r") if path.is_dir() else h5py.File(path)


def _annotated_matrix(path: Path, root: h5py.Group, layer: str | None, *, load: bool) -> AnnData:
    x = matrix_in(root, layer, path)
    x = loaded(x) if load else x
    obs, var = (_table(path, root, key) for key in ("obs", "raw/var" if layer == "raw" else "var"))
    if obs is None and "Y" in root:  # an h5 without annotation but types
        obs = pd.DataFrame({"Y": root["Y"][:]}, index=[f"cell{i}" for i in range(x.shape[0])])
    return AnnData(X=x, obs=obs, var=var)


def _table(path: Path, root: h5py.Group, key: str) -> pd.DataFrame | None:
    """Read the annotation of cells or genes."""
    if key not in root:
        return None
    if not hasattr(root[key], "keys"):  # one array of records
        way = "in Python by anndata.read_h5ad(path).write_h5ad(path)"
        raise UserError(f"{path} was written by anndata before 0.7: write it anew, {way}.")
    check_room(path, check_declared(path, root[key]), key)
    return read_elem(root[key])


def read_h5(path: Path, *, transpose: bool = False) -> AnnData:
    """Read `X` (cells x genes) and `Y` (the type of each cell), scziDesk's `exprs`, or the layout of 10x Genomics."""
    with reading(path), h5py.File(path, rdcc_nbytes=_CHUNK_CACHE) as file:
        check_declared(path, file)
        tenx = [
            node
            for node in file.values()
            if isinstance(node, h5py.Group) and {"barcodes", "indptr"} <= set(node)
        ]
        if tenx:
            return _tenx(path, tenx[0], transpose)
        if "exprs" in file:
            obs = {
                name: _column(file["obs"], name)
                for name in file.get("obs", ())
                if name != "__categories"
            }
            names = [
                _values(file[key]) if key in file else None for key in ("obs_names", "var_names")
            ]
            return to_cells(path, _turned(_matrix(path, file, "exprs"), transpose), obs, *names)
        if "X" not in file:
            raise UserError(
                f"{path} holds {', '.join(file)}, but neither X nor exprs: give a file with the cells."
            )
        x = _turned(_matrix(path, file, "X"), transpose)
        texts = [_values(node) for key, node in file.items() if key != "Y" and _is_text(node)]
        by_length = {
            len(values): values for values in texts
        }  # of cells or genes, whatever they are called
        obs = {"Y": _values(file["Y"])} if "Y" in file else {}
        return to_cells(path, x, obs, by_length.get(x.shape[0]), by_length.get(x.shape[1]))


def _tenx(path: Path, node: h5py.Group, transpose: bool) -> AnnData:
    """Read what Cell Ranger 3 and later (`matrix`) or 2 (a genome) writes; of several kinds of features, genes only."""
    n_genes, n_cells = map(int, node["shape"][()])
    x = sparse_of(
        (node[name][()] for name in ("data", "indices", "indptr")), (n_cells, n_genes)
    ).astype(np.float32)
    features = node.get("features", node)
    names = _values(features["name" if "name" in features else "gene_names"])
    kinds = (
        _values(features["feature_type"])
        if "feature_type" in features
        else np.full(n_genes, "Gene Expression")
    )
    genes = kinds == "Gene Expression"
    cells = to_cells(path, x, {}, _values(node["barcodes"]), names)
    cells = cells if genes.all() else cells[:, genes].copy()
    return _transposed(cells) if transpose else cells


def _transposed(adata: AnnData) -> AnnData:
    return AnnData(X=adata.X.T.tocsr(), obs=adata.var, var=adata.obs)


def _turned(x: sp.csr_matrix, transpose: bool) -> sp.csr_matrix:
    return x.T.tocsr() if transpose else x


def _matrix(path: Path, parent: h5py.Group, key: str) -> sp.csr_matrix:
    """Read the matrix under `key`: a dense dataset, or a group with data, indices, indptr and shape."""
    if parent.get(key, getclass=True) is h5py.Dataset:
        check_stored(path, parent[key])
        return loaded(parent[key])
    node = parent[key]
    shape = tuple(map(int, node["shape"][()] if "shape" in node else node.attrs["shape"]))
    parts = [node[name][()] for name in ("data", "indices", "indptr")]
    return sparse_of(parts, shape, by_genes=len(parts[2]) != shape[0] + 1).astype(np.float32)


def _is_text(node: object) -> bool:
    return isinstance(node, h5py.Dataset) and node.ndim == 1 and node.dtype.kind in "SO"


def _values(node: h5py.Dataset) -> np.ndarray:
    return np.ravel(node.asstr()[()] if node.dtype.kind in "SO" else node[()])


def _column(obs: h5py.Group, name: str) -> np.ndarray:
    """Read a column of annotation: values, or codes with categories beside them (-1: none)."""
    node = obs[name]
    grouped = isinstance(node, h5py.Group)
    codes = _values(node["codes"] if grouped else node)
    if (categories := node["categories"] if grouped else obs.get(f"__categories/{name}")) is None:
        return codes
    return np.asarray(
        pd.Categorical.from_codes(codes.tolist(), categories=_values(categories).tolist())
    )
