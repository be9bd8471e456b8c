"""The catalogue: the `about` of each ``conf/data/NAME.yaml`` is one public dataset.

It has `summary`, `source`, `doubt` (what a reader must know), `kind` (counts, if left out),
`reader` (a key of :data:`READERS`), `layout` (what is where in the files, for the reader),
`label_key` (the column with the types, or several whose values are joined by ``_``), `files`, and
`variants`, of which the first is the default. A variant has `n_cells`, `n_genes` and `n_types`
(what remains), and may have `files` of its own, `keep` (which cells are kept, as
:meth:`pandas.DataFrame.query` reads it) and `without_genes` (how the names of genes that are left
out begin).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import yaml
from anndata import AnnData, read_h5ad

from jojoscl.cells.checks import LABELS
from jojoscl.datasets.download import RemoteFile, fetch
from jojoscl.datasets.rda import read_rda
from jojoscl.datasets.readers import read_file, read_h5
from jojoscl.datasets.tables import read_table
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import conf_dir

_GIVEN = {p.stem: yaml.safe_load(p.read_text("utf-8")) for p in (conf_dir() / "data").iterdir()}
CATALOG: dict[str, dict[str, Any]]
CATALOG = {name: given["about"] for name, given in sorted(_GIVEN.items()) if "about" in given}


def find(name: str, variant: str | None = None) -> dict[str, Any]:
    """Return what the catalogue says of a variant, with its `name`, `variant` and `files`.

    None is the first variant.

    Raises
    ------
    UserError
        There is none of that name; the message names the nearest.
    """
    if name not in CATALOG:
        raise UserError(f"There is no dataset {name!r}{nearest(name, CATALOG)}.")
    variants = CATALOG[name]["variants"]
    variant = variant or next(iter(variants))
    if variant not in variants:
        raise UserError(f"Dataset {name} has no variant {variant!r}{nearest(variant, variants)}.")
    found = CATALOG[name] | variants[variant] | {"name": name, "variant": variant}
    return found | {"files": [RemoteFile(**file) for file in found.get("files", ())]}


def read(found: dict[str, Any], root: Path) -> AnnData:
    """Read what :func:`find` returns, from the files in `root`, which are downloaded if need be.

    obs has the types alone. Cells without any count are dropped.
    """
    paths = (fetch(file, root) for file in found["files"])
    adata = READERS[found["reader"]](*paths, **found.get("layout", {}))
    adata.obs_names_make_unique()
    adata.var_names_make_unique()
    keys = np.atleast_1d(found["label_key"]).tolist()
    obs = adata.obs.dropna(subset=keys)
    obs = obs.query(found["keep"]) if "keep" in found else obs
    labels = obs[keys[0]] if len(keys) == 1 else obs[keys].astype(str).agg("_".join, axis=1)
    adata = adata[obs.index].copy()
    adata.obs = labels.to_frame(LABELS)
    if "without_genes" in found:
        adata = adata[:, ~adata.var_names.str.startswith(found["without_genes"])]
    return adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()


def _read_geo(data: Path, metadata: Path) -> AnnData:
    return read_file(data, metadata=metadata, transpose=True)


def _read_pbmc68k() -> AnnData:
    import scanpy as sc  # slow to import, and needed only here

    adata = sc.datasets.pbmc68k_reduced()  # X is scaled; raw holds what it was scaled from
    counts = sp.diags(adata.obs["n_counts"] / 1e4) @ adata.raw.X.expm1()
    return AnnData(counts.rint().tocsr(), adata.obs[["bulk_labels"]], adata.raw.var[[]])


def _read_within(name: str) -> AnnData:
    """Read a set that comes with this package."""
    return read_h5ad(Path(__file__).with_name(name))


READERS: dict[str, Callable[..., AnnData]] = {
    "h5": read_h5, "rda": read_rda, "table": read_table, "geo": _read_geo, "scanpy": _read_pbmc68k,
    "within": _read_within,
}  # fmt: skip
