"""An annbatch collection: cells in several zarr stores, shuffled when they were written, read as one matrix.

annbatch (scverse) needs Python 3.12 and is an extra of its own: ``pip install 'jojoscl[annbatch]'``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import scipy.sparse as sp
from anndata import AnnData
from anndata.io import read_elem

from jojoscl.data.io.matrix import BAND_BYTES, matrix_in
from jojoscl.utils.errors import UserError

_ENCODING = "annbatch"  # how its groups begin to say what they are


def is_collection(root: Any) -> bool:
    """Whether a zarr group is such a collection."""
    return str(root.attrs.get("encoding-type", "")).startswith(_ENCODING)


def open_collection(path: Path, *, layer: str | None = None) -> AnnData:
    """Its cells in the order of its stores; X is a dask array whose blocks are bands of rows, read when they are used.

    Parameters
    ----------
    layer
        None is X, ``raw`` is raw.X.

    Raises
    ------
    UserError
        annbatch is not installed, or a store has no such matrix.
    """
    try:
        import annbatch
        import dask.array as da
    except ImportError as error:
        raise UserError(
            f"{path} is an annbatch collection: pip install 'jojoscl[annbatch]', on Python 3.12 or newer, to read it."
        ) from error
    collection = annbatch.DatasetCollection(path, mode="r")
    parts = [_rows(group, matrix_in(group, layer, path), path) for group in collection]
    if not parts:
        raise UserError(f"{path} is an annbatch collection without cells: add some by its add_adatas.")
    var = read_elem(next(iter(collection))["raw/var" if layer == "raw" else "var"])
    return AnnData(X=da.concatenate(parts), obs=collection.obs(), var=var)


def _rows(group: Any, x: Any, path: Path) -> Any:
    """One store's matrix as a dask array that is named by its files: another content has another name."""
    import dask.array as da

    n_cells, n_genes = x.shape
    step = max(1, BAND_BYTES // max(1, n_genes))
    sizes = tuple(min(step, n_cells - start) for start in range(0, n_cells, step))

    def read(block_info: Any = None) -> sp.csr_matrix:
        (start, stop), _ = block_info[None]["array-location"]
        return sp.csr_matrix(x[start:stop])

    files = [file for file in sorted((path / group.basename).rglob("*")) if file.is_file()]
    stamps = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    digest = hashlib.sha256(repr((getattr(x, "group", x).name, stamps)).encode()).hexdigest()
    empty = sp.csr_matrix((0, n_genes), dtype=x.dtype)
    return da.map_blocks(read, chunks=(sizes, (n_genes,)), dtype=x.dtype, meta=empty, name=f"cells-{digest}")
