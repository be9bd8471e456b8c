"""A fitted model: labels of new cells by those of the cells it was fitted on, and a file that holds it."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

from jojoscl.cells.checks import as_cells
from jojoscl.cells.guard import check_room, reading
from jojoscl.cells.kind import KINDS
from jojoscl.cells.old import project
from jojoscl.cells.preprocess import Preprocess
from jojoscl.cells.store import Store
from jojoscl.core.consensus import Consensus
from jojoscl.core.interface import Result, whole
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

log = logging.getLogger(__name__)

FORMAT = 1
_HEADER = "header"
_PACKAGES = ("jojoscl", "numpy", "scipy", "scikit-learn", "torch")


@dataclass(frozen=True, eq=False)
class Fitted:
    """What :meth:`jojoscl.JojoSCL.fit` returns and :func:`jojoscl.load` reads.

    New cells are preprocessed as those of the fit and multiplied by the same loadings. The label of
    one is that which its nearest cells of the fit vote for, each vote counting as the confidence of
    the cell.

    Attributes
    ----------
    labels_, confidence_
        Cluster (n_cells,) and confidence (n_cells,) of the cells of the fit.
    settings, seed, n_clusters, versions
        Of the method, of the random numbers, how many clusters there are, and of the packages.
    kind, unit, scale
        What the values were (counts, rpkm or log1p), and how they became z-scores, see
        :class:`~jojoscl.cells.store.Store`.
    names, genes
        The genes whose counts make a total, and the indices in them (n_genes,) of those that have
        loadings.
    loadings
        (n_genes, d), from z-scores to the embedding.
    sample, embedding
        Indices (m,) of the cells that vote, and their embedding (m, d), before what differs between
        samples is taken away.

    Examples
    --------
    >>> model = jojoscl.JojoSCL().fit(adata, n_clusters=8)  # doctest: +SKIP
    >>> model.save("model.npz")  # doctest: +SKIP
    >>> jojoscl.load("model.npz").predict(new).labels  # doctest: +SKIP
    """

    settings: dict[str, object]
    seed: int
    n_clusters: int
    versions: dict[str, str]
    kind: str
    unit: float
    names: list[str]
    genes: np.ndarray
    scale: np.ndarray
    loadings: np.ndarray
    sample: np.ndarray
    embedding: np.ndarray
    labels_: np.ndarray
    confidence_: np.ndarray

    @classmethod
    def of(
        cls,
        settings: dict[str, object],
        adata: AnnData,
        x: Store,
        loadings: np.ndarray,
        sample: np.ndarray,
        embedding: np.ndarray,
        found: Consensus,
        seed: int,
    ) -> Fitted:
        """Return the model of cells `adata`, preprocessed x, of which those of `sample` (m,) vote."""
        return cls(
            settings=settings,
            seed=seed,
            n_clusters=int(found.labels.max()) + 1,
            versions={name: version(name) for name in _PACKAGES},
            kind=str(adata.uns["kind"]),
            unit=x.unit,
            names=adata.var_names[x.counted].tolist(),
            genes=np.searchsorted(x.counted, x.genes),
            scale=x.scale.numpy(),
            loadings=loadings,
            sample=sample.astype(np.int64),
            embedding=embedding,
            labels_=found.labels,
            confidence_=found.confidence,
        )

    def predict(
        self,
        adata: AnnData,
        *,
        layer: str | None = None,
        kind: str = "auto",
        n_neighbors: int = 7,
        max_missing: float = 0.2,
    ) -> Result:
        """Return the clusters of new cells, one or more; `adata` is not changed.

        Parameters
        ----------
        adata, layer, kind
            As for :func:`jojoscl.cluster`. Genes are found by name, in any order; others are
            ignored.
        n_neighbors
            How many cells of the fit vote.
        max_missing
            Share of the variable genes of the fit that may be missing; one that is missing counts
            as average.

        Returns
        -------
        `labels` (n_cells,), `embedding` (n_cells, d), ``obs["confidence"]`` (n_cells,): the votes
        for the label, each counting as the confidence of the cell that gives it, by `n_neighbors`.
        ``info["missing_genes"]``.
        """
        watch = Stopwatch()
        cells = as_cells(adata, layer=layer, kind=kind, fewest=1)
        if cells.uns["kind"] != self.kind:
            raise UserError(
                f"The values are {cells.uns['kind']} (by {cells.uns['kind_decided_by']}), and the model was fitted on "
                f"{self.kind}: give these, or say what they are by kind=."
            )
        h, missing = self._embedded(cells, max_missing)
        watch.lap("preprocess")
        labels, confidence = self._votes(h, n_neighbors)
        watch.lap("assign")
        return Result(
            labels, h, watch.seconds, {"missing_genes": missing}, obs={"confidence": confidence}
        )

    def _embedded(self, cells: AnnData, max_missing: float) -> tuple[np.ndarray, int]:
        """Return the embedding (n_cells, d), and how many of the genes with loadings are missing."""
        found = cells.var_names.get_indexer(self.names)
        genes = found[self.genes]
        missing = np.flatnonzero(genes < 0)
        if len(missing):
            of_all = f"{len(missing)} of {len(genes)} variable genes of the model"
            first = self.names[self.genes[missing[0]]]
            if len(missing) > max_missing * len(genes):
                raise UserError(
                    f"{of_all} are missing (such as {first!r}): give cells with the same names of genes, or raise "
                    "max_missing."
                )
            log.warning("%s are missing (such as %r): they count as average", of_all, first)
        preprocess = Preprocess.of(dict(self.settings["preprocess"]))  # type: ignore[call-overload]
        counted = np.unique(found[found >= 0])
        told = {"genes": genes, "counted": counted, "unit": self.unit, "scale": self.scale}
        return project(preprocess, cells, self.loadings, **told), len(missing)

    def _votes(self, h: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the label and its share of the votes, both (n_cells,), by the cells of the fit nearest to h."""
        if (k := whole(n_neighbors)) is None or k < 1:
            raise UserError(
                f"n_neighbors must be a whole number of at least 1, not {n_neighbors!r}."
            )
        k = min(k, len(self.sample))
        nearest = self.sample[
            NearestNeighbors(n_neighbors=k).fit(self.embedding).kneighbors(h, return_distance=False)
        ]
        votes, of_cell = np.zeros((len(h), self.n_clusters), np.float32), np.arange(len(h))
        for voter in nearest.T:
            votes[of_cell, self.labels_[voter]] += self.confidence_[voter]
        return votes.argmax(1), votes.max(1) / k

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model to a file, which appears whole or not at all; one that is there stays, unless `overwrite`."""
        path = Path(path)
        if path.exists() and not overwrite:
            raise UserError(f"{path} is there already: give overwrite=True, or another path.")
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
        header = {"format": FORMAT} | {
            name: part for name, part in parts.items() if name not in arrays
        }
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_HEADER: text}, **arrays)


def load(path: str | os.PathLike[str]) -> Fitted:
    """Read a model that :meth:`Fitted.save` wrote; safe for a file of a stranger.

    Nothing in the file is run, no more memory is taken than the file is large, and numbers that do
    not fit together are refused. What is damaged or no model is a :class:`UserError`.
    """
    path = Path(path)
    with reading(path):
        parts: dict[str, Any] = _arrays(path)
        if _HEADER not in parts:
            raise ValueError("it is no model of jojoscl")
        header = json.loads(parts.pop(_HEADER).tobytes())
        if header.pop("format") != FORMAT:
            words = f"that of jojoscl {header['versions']['jojoscl']}"
            raise UserError(
                f"{path} is a model in another form, {words}: load it by that version, or fit again."
            )
        model = Fitted(**header, **parts)
        _check(model)
        return model


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an npz, by name; one that unpacks to more than the file holds is refused."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > path.stat().st_size:
            raise ValueError("it unpacks to more than is in it")
        check_room(path, size, "the model")
        return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Read one array; unlike numpy's own reader it takes no memory for values that are not there."""
    with archive.open(entry) as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        return np.frombuffer(bytearray(file.read()), kind).reshape(shape)


def _check(model: Fitted) -> None:
    """Refuse, by a ValueError, parts that are not of their type, do not fit together or are out of range."""
    try:
        Preprocess.of(model.settings["preprocess"])  # type: ignore[arg-type]
    except UserError as error:
        raise ValueError(error) from error
    (n, m, g), d = map(len, (model.labels_, model.sample, model.genes)), model.loadings.shape[-1]
    wanted = {
        "labels_": (np.int64, (n,), model.n_clusters),
        "sample": (np.int64, (m,), n),
        "genes": (np.int64, (g,), len(model.names)),
        "confidence_": (np.float32, (n,), 1),
        "scale": (np.float64, (2, g), np.inf),
        "loadings": (np.float32, (g, d), np.inf),
        "embedding": (np.float32, (m, d), np.inf),
    }
    for name, (kind, shape, limit) in wanted.items():
        x = getattr(model, name)
        if x.dtype != kind or x.shape != shape or 0 in shape:
            raise ValueError(
                f"{name} is {x.dtype} of shape {x.shape}, not {np.dtype(kind)} of {shape}"
            )
        if not np.isfinite(x).all() or (
            limit < np.inf and (x.min() < 0 or x.max() > limit - (kind is np.int64))
        ):
            raise ValueError(f"{name} holds values out of range")
    told = model.unit, model.n_clusters, model.seed
    fits = [type(value) in (int, float) and 0 <= value < 2**32 for value in told]
    words = [*model.names, *model.versions, *model.versions.values()]
    if not (
        all(fits) and model.unit > 0 and model.n_clusters <= n and type(model.n_clusters) is int
    ):
        raise ValueError("unit, n_clusters and seed do not fit")
    if (
        not all(isinstance(word, str) for word in words)
        or model.kind not in KINDS
        or (model.scale[1] <= 0).any()
    ):
        raise ValueError("names, versions, kind and scale do not fit")
