"""The results in the AnnData of the user."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from jojoscl.cells.checks import check_anndata, column
from jojoscl.core.interface import Method, Result
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.settings import Settings

# What other calls put beside a clustering: of no use once the cells are clustered anew.
_STALE = {
    "obs": ("{}_confidence", "{}_novelty", "{}_group", "{}_splits", "{}_markers"),
    "obsm": ("X_{}_map", "X_{}_umap"),
    "uns": ("{}_splits", "{}_markers"),
}


def check_key(key: str) -> str:
    """Return the name under which results are put, if a file can hold it."""
    if not isinstance(key, str) or not key or "/" in key:
        raise UserError(f"key_added must be a word without '/', not {key!r}.")
    return key


def check_method(method: Method, batch_key: str | None) -> None:
    """Refuse what clusters no cells by itself, and samples that it would not tell apart."""
    if not isinstance(method, Method) or method.takes_truth:
        raise UserError(f"method must be a method such as jojoscl.JojoSCL(), not {method!r}.")
    if batch_key is not None and not method.takes_batch:
        raise UserError(
            f"{method.name} does not tell samples apart: leave out batch_key, or method."
        )


class Part(NamedTuple):
    """Some of the cells, and the labels of the others.

    Attributes
    ----------
    inside
        (n_cells,) bool, the cells that are clustered.
    words
        The labels of all cells before, in words.
    categories
        Those that are clustered anew.
    """

    inside: np.ndarray
    words: pd.Series
    categories: list[str]

    def labels(self, found: pd.Categorical) -> pd.Categorical:
        """Return labels (n_cells,): "3,0", "3,1" ... of the cells inside, as scanpy has them."""
        prefix = "-".join(self.categories)
        names = [f"{prefix},{name}" for name in found.categories]
        labels = self.words.cat.remove_categories(self.categories).cat.add_categories(names)
        labels[self.inside] = np.array(names, object)[found.codes]
        return labels.array

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Return values (m, ...) of the cells inside as (n_cells, ...), NaN for the others."""
        dtype = np.result_type(values, np.float32)  # NaN is no whole number
        of_all = np.full((len(self.inside), *values.shape[1:]), np.nan, dtype)
        of_all[self.inside] = values
        return of_all


def there(adata: AnnData, where: str, name: str) -> Any:
    """Return adata.obs[name] or another; if it is missing, say what puts it there."""
    check_anndata(adata)
    if not isinstance(name, str) or name not in getattr(adata, where):
        raise UserError(
            f"There is no adata.{where}[{name!r}]: call jojoscl.cluster first, or name another key."
        )
    found = column(adata, name) if where == "obs" else getattr(adata, where)[name]
    if where == "uns" and not isinstance(found, Mapping):
        raise UserError(f"adata.uns[{name!r}] is not by jojoscl: name another key.")
    return found


def restricted(adata: AnnData, restrict_to: tuple[str, Sequence[str]]) -> Part:
    """Return the cells whose category is one of ``(column, categories)``."""
    if not isinstance(restrict_to, tuple) or len(restrict_to) != 2:
        raise UserError(
            "restrict_to is a column of obs and its categories, ('leiden', ['3']), not "
            f"{restrict_to!r}."
        )
    key, wanted = restrict_to[0], list(dict.fromkeys(map(str, np.atleast_1d(restrict_to[1]))))
    words = column(adata, key).astype("category")
    called, new = [str(name) for name in words.cat.categories], f"{'-'.join(wanted)},"
    if len(set(called)) < len(called) or any(name.startswith(new) for name in called):
        raise UserError(
            f"{key!r} has two categories that read the same, or one that begins with {new!r}, as "
            "the new clusters do: rename them."
        )
    words = words.cat.rename_categories(called)
    for name in wanted:
        if name not in words.cat.categories:
            raise UserError(
                f"{key!r} has no category {name!r}{nearest(name, words.cat.categories)}."
            )
    return Part(words.isin(wanted).to_numpy(), words, wanted)


def params_of(method: Method, kind: str, **asked: object) -> dict[str, object]:
    """Return what a call or a command asked for; None is what it did not."""
    settings = method.plain() if isinstance(method, Settings) else {}
    kind_asked = None if kind == "auto" else kind
    return {"method": method.name, **asked, "kind": kind_asked, "settings": settings}


def annotate(
    adata: AnnData,
    key: str,
    result: Result,
    settings: Mapping[str, object],
    about: Mapping[str, object],
    part: Part | None = None,
) -> None:
    """Put the clusters into ``obs[key]``, and what else the method found beside them, in place.

    What an earlier call left under this key, such as its confidence, splits and UMAP, is removed.

    Parameters
    ----------
    adata
        Cells of the user, (n_cells, n_genes).
    key
        The name of the results: ``obs[key]``, ``obsm["X_" + key]``, ``uns[key]`` and more.
    result
        What the method found.
    settings
        What was asked for; what is not None becomes ``uns[key]["params"]``.
    about
        ``uns`` of the checked cells, whose kind of values is noted.
    part
        Which cells of `adata` the result is of; None: all.
    """
    names = pd.Index(sorted(map(str, set(result.labels)), key=int), dtype=object)
    labels = pd.Categorical(result.labels.astype(str), names)
    more = {f"{key}_{name}": values for name, values in result.obs.items()}
    obsm = {f"X_{key}": result.embedding}
    obsm |= {f"X_{key}_{name}": values for name, values in result.obsm.items()}
    if part is not None:
        labels = part.labels(labels)
        more, obsm = ({name: part.rows(x) for name, x in store.items()} for store in (more, obsm))
    uns = {
        "params": {name: value for name, value in settings.items() if value is not None},
        "seconds": result.seconds,
        **{name: about[name] for name in ("kind", "kind_decided_by") if name in about},
        **result.info,
        **result.uns,
    }
    put(adata, {key: labels, **more}, obsm, {key: uns}, clear=key)


def put(
    adata: AnnData,
    obs: Mapping[str, pd.Categorical | np.ndarray],
    obsm: Mapping[str, np.ndarray] | None = None,
    uns: Mapping[str, object] | None = None,
    *,
    clear: str | None = None,
) -> None:
    """Put columns of `obs` and more into `adata`; what is stale under the key `clear` goes."""
    columns = pd.DataFrame(dict(obs), index=adata.obs_names)
    if adata.is_view:  # as anndata itself does at the first assignment, with a warning
        adata._init_as_actual(adata.copy())
    for store, names in _STALE.items() if clear else ():
        for name in names:
            if (stale := name.format(clear)) in getattr(adata, store):
                del getattr(adata, store)[stale]
    adata.obs[list(obs)] = columns
    adata.obsm.update(obsm or {})
    adata.uns.update(uns or {})
