"""The catalogue: the `about` of each ``conf/data/NAME.yaml`` is one public dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import yaml
from anndata import AnnData, read_h5ad

from jojoscl.cells.checks import LABELS
from jojoscl.datasets.download import RemoteFile
from jojoscl.datasets.rda import read_rda
from jojoscl.datasets.readers import read_file, read_h5
from jojoscl.datasets.tables import read_table
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import conf_dir


@dataclass(frozen=True)
class Variant:
    """One way to have a dataset.

    Attributes
    ----------
    files, read
        The files, and what makes the cells from their paths.
    label_key
        Column with the types, or several whose values are joined by ``_``.
    n_cells, n_genes, n_types
        What remains.
    keep
        Which cells are kept, as :meth:`pandas.DataFrame.query` reads it.
    without_genes
        How the names of genes that are left out begin.
    """

    files: tuple[RemoteFile, ...]
    read: Callable[..., AnnData]
    label_key: str | Sequence[str]
    n_cells: int
    n_genes: int
    n_types: int
    keep: str | None = None
    without_genes: str | None = None

    def cells(self, paths: Sequence[Path]) -> AnnData:
        """Read what remains; obs has the types alone. Cells without any count are dropped."""
        adata = self.read(*paths)
        adata.obs_names_make_unique()
        adata.var_names_make_unique()
        keys = [self.label_key] if isinstance(self.label_key, str) else list(self.label_key)
        obs = adata.obs.dropna(subset=keys)
        obs = obs if self.keep is None else obs.query(self.keep)
        labels = obs[keys[0]] if len(keys) == 1 else obs[keys].astype(str).agg("_".join, axis=1)
        adata = adata[obs.index].copy()
        adata.obs = labels.to_frame(LABELS)
        if self.without_genes is not None:
            adata = adata[:, ~adata.var_names.str.startswith(self.without_genes)]
        return adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()


@dataclass(frozen=True)
class Entry:
    """A dataset; the first of `variants` is the default, `doubt` is what a reader must know."""

    summary: str
    source: str
    variants: dict[str, Variant]
    kind: str = "counts"
    doubt: str = ""


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


def _entry(
    variants: dict[str, dict[str, Any]],
    files: Sequence[dict[str, str]] = (),
    *,
    reader: str,
    label_key: str | Sequence[str],
    layout: Mapping[str, str | bool] | None = None,
    **more: str,
) -> Entry:
    """Return the entry of an `about`; its `layout` tells the reader what is where in the files."""
    read = partial(READERS[reader], **(layout or {}))
    made = {}
    for name, own in variants.items():
        remote = tuple(RemoteFile(**file) for file in own.pop("files", files))
        made[name] = Variant(remote, read, label_key, **own)
    return Entry(variants=made, **more)


_GIVEN = {p.stem: yaml.safe_load(p.read_text("utf-8")) for p in (conf_dir() / "data").iterdir()}
CATALOG = {name: _entry(**d["about"]) for name, d in sorted(_GIVEN.items()) if "about" in d}
ALIASES = {"mouse": "baron_mouse"}
"""Other names of datasets: the paper's 'Mouse'."""


def find(name: str, variant: str | None = None) -> tuple[str, Entry, str]:
    """Return the catalogue's name, entry and variant; None is the first variant.

    Raises
    ------
    UserError
        There is none of that name; the message names the nearest.
    """
    name = ALIASES.get(name, name)
    if name not in CATALOG:
        raise UserError(f"There is no dataset {name!r}{nearest(name, CATALOG)}.")
    variants = CATALOG[name].variants
    chosen = variant or next(iter(variants))
    if chosen not in variants:
        raise UserError(f"Dataset {name} has no variant {chosen!r}{nearest(chosen, variants)}.")
    return name, CATALOG[name], chosen
