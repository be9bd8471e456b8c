"""Read the file of a fitted model."""

from __future__ import annotations

import os

import numpy as np

from jojoscl.cells.matrix import KINDS
from jojoscl.core.archive import model_path, read_parts
from jojoscl.core.fitted import Fitted
from jojoscl.utils.files import reading


def load(path: str | os.PathLike[str]) -> Fitted:
    """Read a model that :meth:`Fitted.save` wrote; safe for a file of a stranger.

    Nothing in the file is run, and what is damaged or no model is a :class:`UserError`.
    """
    source = model_path(path)
    with reading(source):
        model = Fitted(**read_parts(source))
        _check(model)
        return model


def _check(model: Fitted) -> None:
    """Refuse, by a ValueError, arrays that do not fit together or numbers out of range."""
    n, m, g, c = len(model.labels_), len(model.voters), len(model.genes), len(model.names)
    d, k = model.loadings.shape[-1], len(model.b_)
    shapes = {
        "labels_ confidence_ groups_": (n,),
        "merges_": (len(model.group_sizes_) - 1, 2),
        "group_sizes_": (len(model.group_sizes_),),
        "embedding_ map_": (n, d),
        "voters": (m,),
        "positions": (m, d),
        "genes seen mean sd": (g,),
        "profile": (c,),
        "loadings": (g, d),
        "ratio_ shrinkage_": (d,),
        "sigma2_ tau2_ b_ stability_": (k,),
    }
    for names, shape in shapes.items():
        for name in names.split():
            x = getattr(model, name)
            if x.shape != shape or (0 in shape and name != "merges_") or x.dtype.kind not in "fi":
                raise ValueError(f"{name} is {x.dtype} of shape {x.shape}, not of {shape}")
            if name != "ratio_" and not (np.abs(x) < 1e15).all():  # also NaN
                raise ValueError(f"{name} holds values out of range")
    groups = len(model.group_sizes_)
    limits = {"labels_": k, "groups_": groups, "merges_": groups, "voters": n, "genes": c}
    for name, limit in limits.items():
        x = getattr(model, name)
        if x.dtype.kind != "i" or x.min(initial=0) < 0 or x.max(initial=0) >= limit:
            raise ValueError(f"{name} holds values out of range")
    if len(np.unique(model.merges_[:, 1])) < groups - 1:
        raise ValueError("merges_ is no tree")
    numbers = [model.unit, model.least_, model.limit or 1, model.n_clusters_estimated or 2]
    numbers += [model.confidence_.min(), 1 - model.confidence_.max()]
    if not all(isinstance(x, int | float | np.floating) and 0 <= x < 1e15 for x in numbers):
        raise ValueError("unit, least_, limit, n_clusters_estimated and confidence_ do not fit")
    if (np.diff(model.genes) <= 0).any() or model.sd.min() < 1e-12 or model.unit <= 0:
        raise ValueError("genes, sd and unit do not fit")
    texts = isinstance(model.names, list) and all(isinstance(name, str) for name in model.names)
    texts = texts and len(set(model.names)) == c
    words = all(isinstance(x, dict) for x in (model.settings, model.versions, model.seconds_))
    types = type(model.seed) is int and type(model.rounded) is bool
    if not texts or not words or not types or model.kind not in KINDS:
        raise ValueError("names, settings, versions, seconds_, kind, seed and rounded do not fit")
