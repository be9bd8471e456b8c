"""The scanpy-style calls."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import progress, shows

if TYPE_CHECKING:
    from anndata import AnnData

    from jojoscl.core.fitted import Fitted
    from jojoscl.core.interface import Method
    from jojoscl.networks.settings import Run

log = logging.getLogger(__name__)

_MEANT = {"random_state": "seed", "resolution": "n_clusters", "inplace": "copy"}  # in scanpy


def cluster(
    adata: "AnnData",
    n_clusters: int | None = None,
    *,
    method: "Method | None" = None,
    key_added: str = "jojoscl",
    restrict_to: tuple[str, Sequence[str]] | None = None,
    batch_key: str | None = None,
    layer: str | None = None,
    kind: str = "auto",
    seed: int = 0,
    accelerator: str = "auto",
    devices: int = 1,
    progress_bar: bool | None = None,
    copy: bool = False,
    **settings: object,
) -> "AnnData | None":
    """Cluster the cells of `adata` by JojoSCL. No annotation in `adata.obs` is looked at.

    Parameters
    ----------
    adata
        Cells x genes with raw counts in `X`, or in `layer`; also one that was opened with
        ``backed="r"``.
    n_clusters
        Number of clusters, 2 to the number of cells; None: JojoSCL estimates it, see ``uns``.
    method
        Another method, such as ``jojoscl.PaperJojoSCL(epochs=50)``; None is
        :class:`jojoscl.JojoSCL` with `settings`.
    key_added
        Name under which the results are put.
    restrict_to
        Column of obs and the categories whose cells alone are clustered, such as ``("leiden",
        ["3"])``, as in scanpy: the results are put under `key_added` + ``"_R"``, these cells are
        labelled "3,0", "3,1", ..., the others as in the column; numbers of the others are NaN.
    batch_key
        Column of obs that tells samples apart, whose differences should not make clusters; needs
        harmonypy.
    layer
        Layer that holds the counts; None is `X`.
    kind
        "counts", "rpkm" or "log1p": what the values are; "auto" looks.
    seed
        The same seed gives the same clusters on the same machine.
    accelerator
        "auto", "cpu", "gpu", "cuda" or "mps": where a method that trains a network does so. For
        :class:`jojoscl.JojoSCL` it is "cpu", which "auto" means, or "gpu".
    devices
        How many GPUs, or processes on the CPU, share each batch of such a method. With several, in
        a script, call this below ``if __name__ == "__main__":``, for they import it.
    progress_bar
        Whether to show one, of the stages; None shows it in a terminal or a notebook, unless
        ``logging.getLogger("jojoscl")`` hides warnings.
    copy
        Return a copy in place of writing to `adata`.
    **settings
        Any setting of :class:`jojoscl.JojoSCL`, such as ``n_draws=8`` or
        ``preprocess={"n_top_genes": 1000}``; its help text lists them.

    Returns
    -------
    None, or the copy. Sets ``obs[key_added]`` (categorical), by JojoSCL ``obs[key_added +
    "_confidence"]`` (0 to 1), ``obsm["X_" + key_added]`` (n_cells, d), ``obsm["X_" + key_added +
    "_map"]`` (the same, each cell shrunk toward its cluster's centroid by b_k), ``obs[key_added +
    "_group"]`` (the leaf of the tree, which :func:`jojoscl.cut` needs) and ``uns[key_added]``
    (settings, seconds, where K was not given ``n_clusters_estimated``, by JojoSCL the tree and the
    ``stability`` of each cluster, 0 to 1).

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
    # What takes seconds to import is imported when it is used: a network only if one is trained.
    from jojoscl.cells.checks import as_cells
    from jojoscl.core.interface import check_n_clusters, check_seed
    from jojoscl.core.method import JojoSCL
    from jojoscl.tools.annotate import annotate, check_key, check_method, params_of, restricted

    if copy and getattr(adata, "isbacked", False):
        raise UserError("A backed AnnData cannot be copied without a file: leave out copy=True.")
    check_key(key_added)
    if method is not None and settings:
        both = f"method= and {next(iter(settings))}="
        raise UserError(f"{both} are given: put all settings into the method.")
    for name in filter(_MEANT.get, settings):
        raise UserError(f"There is no setting {name!r}: give {_MEANT[name]}=.")
    if method is None and accelerator != "auto":
        settings["accelerator"] = accelerator  # the default method has a setting of this name
    chosen = JojoSCL.of(settings) if method is None else method
    seed = check_seed(seed)
    check_method(chosen, batch_key)
    more: dict[str, object] = {}
    if chosen.takes_run:
        more["run"] = _run(accelerator, devices, progress_bar)
    elif devices != 1 or (method is not None and accelerator not in ("auto", "cpu")):
        raise UserError(f"{chosen.name} trains no network: leave out accelerator and devices.")
    part = None if restrict_to is None else restricted(adata, restrict_to)
    some = adata
    if part is not None and not (adata.isbacked and adata.is_view):  # which as_cells refuses
        some = adata[part.inside].to_memory() if adata.isbacked else adata[part.inside]
    with progress("cluster", chosen.stages, progress_bar):
        cells = as_cells(some, layer=layer, batch_key=batch_key, kind=kind)
        k = None if n_clusters is None else check_n_clusters(n_clusters, cells.n_obs)
        result = chosen.fit_predict(cells, k, seed=seed, **more)
    params = params_of(chosen, kind, seed=seed, n_clusters=k, batch_key=batch_key, layer=layer)
    if part is not None:
        key_added = f"{key_added}_R"
        params["restrict_to"] = {"column": part.words.name, "categories": part.categories}
    adata = adata.copy() if copy else adata
    annotate(adata, key_added, result, params, cells.uns, part)
    words, seconds = "%d clusters in %.1f s: obs[%r], obsm[%r]", sum(result.seconds.values())
    log.info(words, len(set(result.labels)), seconds, key_added, f"X_{key_added}")
    return adata if copy else None


def _run(accelerator: str, devices: int, progress_bar: bool | None) -> "Run":
    from jojoscl.networks.settings import Run, TrainerSettings

    bar = shows(progress_bar)
    return Run(trainer=TrainerSettings(accelerator=accelerator, devices=devices, progress_bar=bar))


def predict(
    adata: "AnnData",
    model: "Fitted | str | os.PathLike[str]",
    *,
    key_added: str = "jojoscl",
    copy: bool = False,
    **how: Any,
) -> "AnnData | None":
    """Put the clusters of new cells into `adata`, by a model that was fitted on others.

    Parameters
    ----------
    adata
        The new cells.
    model
        What :meth:`jojoscl.JojoSCL.fit` returned, or the path of its file.
    key_added, copy
        As in :func:`cluster`.
    **how
        What :meth:`~jojoscl.core.fitted.Fitted.predict` takes: `layer`, `kind`, `batch_key`,
        `n_neighbors`, `max_missing`.

    Returns
    -------
    None, or the copy. Sets ``obs[key_added]``, ``obs[key_added + "_confidence"]``, ``obs[key_added
    + "_novelty"]``, ``obsm["X_" + key_added]`` and ``uns[key_added]``.

    Examples
    --------
    >>> jojoscl.predict(new, "model.npz")  # doctest: +SKIP
    >>> new.obs[["jojoscl", "jojoscl_confidence", "jojoscl_novelty"]]  # doctest: +SKIP
    """
    from jojoscl.core.fitted import Fitted, load
    from jojoscl.tools.annotate import annotate, check_key

    check_key(key_added)
    fitted = model if isinstance(model, Fitted) else load(model)
    result = fitted.predict(adata, **how)
    adata = adata.copy() if copy else adata
    fit = {"seed": fitted.seed, "versions": fitted.versions, "settings": fitted.settings}
    annotate(adata, key_added, result, {**how, "fit": fit}, {"kind": fitted.kind})
    return adata if copy else None
