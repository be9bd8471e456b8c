"""Datasets by name or by file, as an AnnData that has been checked.

X is float32 CSR, cells x genes; ``obs["cell_type"]`` holds the annotated types when they are known
(categorical); ``uns`` holds `kind` (``counts``, ``rpkm`` or ``log1p``), `kind_decided_by`, `name`
and `variant`.

The catalogue: the `about` of each ``conf/data/NAME.yaml`` is one public dataset. It has `summary`,
`source`, `doubt` (what a reader must know), `kind` (counts, if left out), `reader` (a key of
:data:`READERS`), `layout` (what is where in the files, for the reader), `label_key` (the column
with the types, or several whose values are joined by ``_``), `files`, and `variants`, of which the
first is the default. A variant has `n_cells`, `n_genes` and `n_types` (what remains), and may have
`files` of its own, `keep` (which cells are kept, as :meth:`pandas.DataFrame.query` reads it) and
`without_genes` (how the names of genes that are left out begin).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import yaml
from anndata import AnnData, read_h5ad

from jojoscl.cells.checks import LABELS, as_cells
from jojoscl.cells.matrix import KINDS
from jojoscl.datasets.download import data_root, fetch, stamp
from jojoscl.datasets.rda import read_rda
from jojoscl.datasets.readers import read_file, read_h5
from jojoscl.datasets.tables import read_table
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import conf_dir
from jojoscl.utils.settings import IRRELEVANT, Settings, setting

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
    return {"files": []} | CATALOG[name] | variants[variant] | {"name": name, "variant": variant}


def read(found: dict[str, Any], root: Path) -> AnnData:
    """Read what :func:`find` returns, from the files in `root`, which are downloaded if need be.

    obs has the types alone. Cells without any count are dropped.
    """
    paths = (fetch(root, **file) for file in found["files"])
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


def _read_pbmc68k() -> AnnData:
    import scanpy as sc  # slow to import, and needed only here

    adata = sc.datasets.pbmc68k_reduced()  # X is scaled; raw holds what it was scaled from
    counts = sp.diags(adata.obs["n_counts"] / 1e4) @ adata.raw.X.expm1()
    return AnnData(counts.rint().tocsr(), adata.obs[["bulk_labels"]], adata.raw.var[[]])


READERS: dict[str, Callable[..., AnnData]] = {
    "h5": read_h5,
    "rda": read_rda,
    "table": read_table,
    "geo": lambda data, metadata: read_file(data, metadata=metadata, transpose=True),
    "scanpy": _read_pbmc68k,
    "within": lambda name: read_h5ad(Path(__file__).with_name(name)),  # comes with this package
}


@dataclass(kw_only=True)
class CatalogDataset(Settings):
    """A dataset of the catalogue, :data:`CATALOG`."""

    name: str = setting("pbmc68k_reduced", "A name of the catalogue.")
    variant: str | None = setting(None, "Its variant; None is the first.", neutral=IRRELEVANT)
    root: str | Path | None = setting(None, "Folder of the files.", neutral=IRRELEVANT)

    def __post_init__(self) -> None:
        super().__post_init__()
        find(self.name, self.variant)  # a wrong name is reported at once

    def load(self) -> AnnData:
        """Find or download the files, and read them. Cells without any count are dropped."""
        found = find(self.name, self.variant)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names of genes that are not unique yet
            adata = read(found, data_root(self.root))
        names = {key: found[key] for key in ("name", "variant")}
        cells = as_cells(adata, label_key=LABELS, kind=found.get("kind", "counts"), **names)
        cells.uns["kind_decided_by"] = "catalogue"
        return cells

    def fingerprint(self) -> dict[str, object]:
        """Return what tells these cells from others: the variant, and each file's checksum."""
        found = find(self.name, self.variant)
        decisive: dict[str, object] = {"variant": found["variant"]}
        for file in found["files"]:
            checksum = file.get("checksum")
            copy = {} if checksum else stamp(data_root(self.root) / file["name"])
            if copy or checksum:
                decisive[file["name"]] = checksum or f"sha256:{copy['sha256']}"
        return decisive


@dataclass(kw_only=True)
class FileDataset(Settings):
    """A file of yours: h5ad, or any format of :func:`~jojoscl.datasets.readers.read_file`."""

    name: str = setting("h5ad", "What the results call it.")
    path: str | Path | None = setting(None, "The file; must be given.", neutral=IRRELEVANT)
    layer: str | None = setting(None, "Where the values are; None is X, 'raw' is adata.raw.")
    label_key: str | None = setting(None, "Column of obs with the types; None: without scores.")
    batch_key: str | None = setting(None, "Column of obs that tells samples apart.", neutral=None)
    kind: str = setting("auto", "What the values are; 'auto' looks.", values=("auto", *KINDS))
    metadata: str | Path | None = setting(None, "A table of the cells.", neutral=IRRELEVANT)
    transpose: bool = setting(False, "Whether the file is genes x cells.")
    backed: bool = setting(False, "Whether the matrix stays in its file (h5ad, zarr).")

    def load(self) -> AnnData:
        """Read the file and check what it holds."""
        if self.path is None:
            raise UserError("No file is given: name yours by data.path=/path/to/cells.h5ad.")
        adata = read_file(
            Path(self.path).expanduser(),
            layer=self.layer,
            metadata=None if self.metadata is None else Path(self.metadata).expanduser(),
            label_key=self.label_key,
            transpose=self.transpose,
            backed=self.backed,
        )
        types, samples = self.label_key, self.batch_key
        cells = as_cells(adata, label_key=types, batch_key=samples, kind=self.kind, name=self.name)
        cells.uns["obs"] = adata.obs.set_axis(cells.obs_names)  # for the user's own file of results
        return cells

    def fingerprint(self) -> dict[str, object]:
        """Return the :func:`~jojoscl.datasets.download.stamp` of each file that is there."""
        paths = {"path": self.path, "metadata": self.metadata}
        stamps = {name: stamp(Path(path).expanduser()) for name, path in paths.items() if path}
        return {name: value for name, value in stamps.items() if value}


def load_dataset(name: str, root: str | Path | None = None, variant: str | None = None) -> AnnData:
    """Load a dataset of the catalogue; its types are in ``obs["cell_type"]``.

    Examples
    --------
    >>> adata = load_dataset("pbmc68k_reduced")
    >>> adata.shape
    (700, 765)
    """
    return CatalogDataset(name=name, variant=variant, root=root).load()
