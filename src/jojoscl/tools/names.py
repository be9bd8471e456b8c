"""Names of clusters by lists of markers that the user gives."""

import logging
from collections.abc import Mapping, Sequence

import pandas as pd
import scanpy as sc
from anndata import AnnData

from jojoscl.cells.checks import as_cells, check_in_memory, without_labels
from jojoscl.tools.annotate import put, there
from jojoscl.utils.errors import UserError

log = logging.getLogger(__name__)

UNKNOWN = "unknown"


def name_clusters(
    adata: AnnData,
    markers: Mapping[str, Sequence[str]],
    key: str = "jojoscl",
    *,
    layer: str | None = None,
    kind: str = "auto",
    seed: int = 0,
) -> pd.DataFrame:
    """Name the clusters in ``obs[key]`` by markers of types that you know.

    A cell's score of a type is that of ``scanpy.tl.score_genes``: the mean of its markers less that
    of other genes as high, in logarithms of normalised counts, here over its standard deviation. A
    cluster gets the type of the largest mean score, or "unknown" if none is above 0.

    Parameters
    ----------
    markers
        Genes by type, ``{"B": ["MS4A1", "CD79A"], ...}``.
        Genes that the cells lack are left out, and the log names them.
    key
        Column of the clusters.
    layer, kind, seed
        As in :func:`jojoscl.cluster`.

    Returns
    -------
    Mean scores, a row a cluster and a column a type. The names are in ``obs[key + "_named"]``.

    Examples
    --------
    >>> known = {"B": ["MS4A1", "CD79A"], "NK": ["NKG7", "GNLY"]}
    >>> jojoscl.name_clusters(adata, known)  # doctest: +SKIP
    """
    if not isinstance(markers, Mapping) or not markers:
        raise UserError("markers must be genes by type, {'B': ['MS4A1', 'CD79A'], ...}.")
    cells = without_labels(as_cells(adata, layer=layer, kind=kind))
    check_in_memory(cells)
    clusters = there(adata, "obs", key)
    known = {str(x): [genes] if isinstance(genes, str) else genes for x, genes in markers.items()}
    missing = sorted({str(gene) for genes in known.values() for gene in genes} - {*cells.var_names})
    types = {name: [*cells.var_names.intersection(genes)] for name, genes in known.items()}
    if not any(types.values()):
        raise UserError(
            f"None of the markers is a gene of these cells (such as {missing[0]!r}): give names as "
            "in adata.var_names."
        )
    if missing:
        log.warning("%d markers are no genes of these cells: %s", len(missing), ", ".join(missing))
    if cells.uns["kind"] != "log1p":
        sc.pp.normalize_total(cells)
        sc.pp.log1p(cells)
    for name in (name for name, genes in types.items() if genes):
        sc.tl.score_genes(cells, types[name], score_name=name, random_state=seed)
        cells.obs[name] /= cells.obs[name].std() or 1
    scores = cells.obs.groupby(clusters.to_numpy(), observed=True).mean()
    names = scores.idxmax(axis=1).where(scores.max(axis=1) > 0, UNKNOWN)
    named = clusters.map(names.to_dict()).astype("category")
    put(adata, {f"{key}_named": named.array})
    return scores
