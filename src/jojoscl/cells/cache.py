"""A folder with preprocessed cells of earlier calls, each named by what it was made of."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jojoscl.cells.matrix import Matrix, canonical, file_of, is_backed
from jojoscl.cells.store import Store, intact_store
from jojoscl.datasets.download import stamp
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import delete, sweep_temporaries, whole_folder

log = logging.getLogger(__name__)


def cached(cache: Path, name: str, build: Callable[[Path | None], Store]) -> Store:
    """Return the store `name` of the folder `cache`; `build` makes it there, or elsewhere (None), where there is none.

    A damaged one is made anew. A cache that can only be read is read, and nothing is added to it.
    """
    path = usable(cache) / name
    if store := intact_store(path):
        return store
    if path.exists():
        log.warning("the cache entry %s is damaged: computing anew", path)
    if not os.access(cache, os.W_OK):
        log.warning("the cache %s cannot be written: going on without it", cache)
        return build(None)
    delete(path)
    with whole_folder(path) as folder:
        build(folder)
    return intact_store(path) or build(None)  # where the cache is deleted meanwhile


def usable(cache: Path) -> Path:
    """Return the folder, made if need be, free of what killed processes left; or raise a :class:`UserError`."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{cache} cannot be used as cache ({error.strerror}): choose another folder."
        ) from error
    if not os.access(cache, os.R_OK | os.X_OK):
        raise UserError(f"{cache} cannot be used as cache (no permission): choose another folder.")
    sweep_temporaries(cache)
    return cache


def content(x: Matrix, what: str) -> str:
    """Return a name for the values of a matrix x, or for the file they are in and where in it, and for `what`."""
    state = hashlib.sha256(what.encode())
    if is_backed(x):
        node = getattr(x, "group", x)
        state.update(repr([node.name, str(file_of(x).resolve()), stamp(file_of(x))]).encode())
    else:
        x = canonical(x)
        for part in (x.data, x.indices, x.indptr):
            state.update(np.ascontiguousarray(part).view(np.uint8).data)
    return state.hexdigest()[:24]
