"""The scanpy-style call."""

from __future__ import annotations

from typing import Any

from anndata import AnnData

from jojoscl.data import as_cells
from jojoscl.data.cells import without_labels
from jojoscl.methods.annotate import annotate, check_key
from jojoscl.methods.base import Method, check_n_clusters, check_seed
from jojoscl.runner.config import from_preset
from jojoscl.training.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError


def cluster(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    key_added: str = "jojoscl",
    layer: str | None = None,
    kind: str = "auto",
    preset: str = "default",
    seed: int = 0,
    accelerator: str = "auto",
    devices: int = 1,
    progress_bar: bool = False,
    copy: bool = False,
    **settings: Any,
) -> AnnData | None:
    """Cluster the cells of `adata` by JojoSCL. No annotation in `adata.obs` is looked at.

    Parameters
    ----------
    adata
        Cells x genes with raw counts in `X`, or in `layer`; also one that was opened with ``backed="r"``. Those, and
        cells in memory whose dense matrix of variable genes would be larger than 0.5 GiB, are trained on from a
        temporary file.
    n_clusters
        Number of clusters, 2 to the number of cells; None: estimated from the cells, see ``uns``.
    key_added
        Name under which the results are put.
    layer
        Layer that holds the counts; None is `X`.
    kind
        "counts", "rpkm" or "log1p": what the values are; "auto" looks.
    preset
        A file of `conf/preset/`.
    seed
        The same seed gives the same clusters on the same machine.
    accelerator
        "auto", "cpu", "gpu", "cuda" or "mps".
    devices
        How many GPUs, or processes on the CPU, share each batch. Of several, in a script, call this below
        ``if __name__ == "__main__":``, for they import it.
    progress_bar
        Show one.
    copy
        Return a copy in place of writing to `adata`.
    **settings
        Any setting of the preset, such as ``epochs=50``.

    Returns
    -------
    None, or the copy. Sets ``obs[key_added]`` (categorical), with the default preset ``obs[key_added +
    "_confidence"]`` (0 to 1), ``obsm["X_" + key_added]`` (n_cells, d), ``obsm["X_" + key_added + "_map"]`` (the
    same, each cell shrunk toward its cluster's centroid by b_k) and ``uns[key_added]`` (settings, seconds, and
    where K was not given ``n_clusters_estimated``).

    Raises
    ------
    UserError
        What is wrong with the counts, the number of clusters or a setting, and what to do.

    Examples
    --------
    >>> import jojoscl
    >>> adata = jojoscl.load_dataset("pbmc_10x")  # doctest: +SKIP
    >>> jojoscl.cluster(adata, n_clusters=8)  # doctest: +SKIP
    """
    if not isinstance(adata, AnnData):
        raise UserError(f"adata must be an AnnData, not {type(adata).__name__}: make one by anndata.AnnData(counts).")
    if copy and adata.isbacked:
        raise UserError("A backed AnnData cannot be copied without a file: leave out copy=True.")
    check_key(key_added)
    seed = check_seed(seed)
    method: Method = from_preset(preset, **settings)
    cells = as_cells(adata, layer=layer, kind=kind)
    n_clusters = None if n_clusters is None else check_n_clusters(n_clusters, cells.n_obs)
    adata = adata.copy() if copy else adata
    run = Run(trainer=TrainerSettings(accelerator=accelerator, devices=devices, progress_bar=progress_bar))
    result = method.fit_predict(without_labels(cells), n_clusters, seed=seed, run=run)
    settings |= {"preset": preset, "seed": seed, "n_clusters": n_clusters}
    annotate(adata, key_added, result, settings, cells)
    return adata if copy else None
