"""A fitted model: clusters of its cells, and of new cells by those they are nearest to."""

import logging
import math
import os
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells, types_of
from jojoscl.cells.expression import Expression
from jojoscl.cells.genes import names_that_fit
from jojoscl.cells.preprocess import bands
from jojoscl.core.archive import model_path, read_parts, write_parts
from jojoscl.core.interface import Result, alone, whole
from jojoscl.core.linkage import Tree
from jojoscl.core.positives import without_samples
from jojoscl.core.votes import votes
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import reading
from jojoscl.utils.progress import Stopwatch

log = logging.getLogger(__name__)

_PACKAGES = ("jojoscl", "numpy", "scipy", "scikit-learn")
_EXPECTED = 10  # a gene is missing if this many new cells should have it and none has


@dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    """What :meth:`jojoscl.JojoSCL.fit` returns and :func:`jojoscl.load` reads.

    New cells are preprocessed like the fit and multiplied by the same loadings. Their nearest
    cells of the fit vote for the label, each with the weight of its confidence.

    Attributes
    ----------
    labels_, confidence_
        Cluster (n,) and confidence (n,) of the cells of the fit.
    groups_, merges_, group_sizes_, least_
        Group (n,) of each cell, the :class:`~jojoscl.core.linkage.Tree` of the groups, and the
        cells that make a cluster.
    embedding_, map_
        h (n, d), and the same with each cell shrunk toward its cluster's centroid by b_k.
    ratio_, shrinkage_
        lambda_k and b'_k of the components (d,), see :mod:`jojoscl.core.contrast`.
    stability_, sigma2_, tau2_, b_
        Of the clusters (K,): how well they come back over the draws, 0 to 1 (mean Jaccard index);
        the others see :mod:`jojoscl.core.shrinkage`.
    n_clusters, n_clusters_estimated
        How many clusters there are, and the estimate of K if it was not given.
    settings, seed, versions, seconds_
        Of the method, of the random numbers, of the packages, of each stage of the fit.
    kind, unit, rounded, mean, sd, limit
        How values become z-scores, see :class:`~jojoscl.cells.expression.Expression`.
    names, profile
        The genes (c,) whose counts make a total, and their mean normalised counts.
    genes, seen
        Indices (g,) in `names` of the genes with loadings, and the share of cells that have them.
    loadings
        (g, d), from z-scores to the embedding.
    voters, positions
        Indices (m,) of the cells that vote, and their embedding (m, d), before Harmony.

    Examples
    --------
    >>> jojoscl.JojoSCL().fit(adata, n_clusters=8).save("model.npz")  # doctest: +SKIP
    >>> jojoscl.load("model.npz").predict(new).labels  # doctest: +SKIP
    """

    settings: dict[str, object]
    seed: int
    n_clusters_estimated: int | None
    kind: str
    unit: float
    limit: float | None
    rounded: bool
    names: list[str]
    profile: np.ndarray
    genes: np.ndarray
    seen: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    loadings: np.ndarray
    voters: np.ndarray
    positions: np.ndarray
    labels_: np.ndarray
    confidence_: np.ndarray
    groups_: np.ndarray
    merges_: np.ndarray
    group_sizes_: np.ndarray
    least_: float
    stability_: np.ndarray
    embedding_: np.ndarray
    map_: np.ndarray
    ratio_: np.ndarray
    shrinkage_: np.ndarray
    sigma2_: np.ndarray
    tau2_: np.ndarray
    b_: np.ndarray
    seconds_: dict[str, float]
    versions: dict[str, str] = field(default_factory=lambda: {p: version(p) for p in _PACKAGES})

    @classmethod
    def of(cls, x: Expression, tree: Tree, **found: Any) -> Self:
        """Return the model of preprocessed cells x, their tree and what else was found in them."""
        return cls(
            merges_=tree.merges,
            group_sizes_=tree.sizes,
            least_=tree.least,
            kind=x.kind,
            unit=x.unit,
            limit=x.limit if math.isfinite(x.limit) else None,
            rounded=x.rounded,
            names=x.counted_names.tolist(),
            profile=x.profile,
            genes=np.searchsorted(x.counted, x.genes),
            seen=x.seen,
            mean=x.mean,
            sd=x.sd,
            **found,
        )

    @property
    def n_clusters(self) -> int:
        """Return K."""
        return len(self.b_)

    def __repr__(self) -> str:
        """Return three lines: cells and clusters, genes and components, sizes of the clusters."""
        sizes = ", ".join(map(str, np.bincount(self.labels_, minlength=self.n_clusters)))
        return (
            f"Fitted: {len(self.labels_)} cells in {self.n_clusters} clusters (seed {self.seed})\n"
            f"  {self.kind}, {len(self.genes)} of {len(self.names)} genes, "
            f"{self.loadings.shape[1]} components\n"
            f"  sizes {sizes}; mean confidence {self.confidence_.mean():.2f}"
        )

    def result(self, seconds: dict[str, float]) -> Result:
        """Return it as every method's result; `seconds` are those before the fit."""
        estimate = self.n_clusters_estimated
        names = ("ratio", "shrinkage", "sigma2", "tau2", "b", "stability")
        tree = Tree(self.merges_, self.group_sizes_, self.least_)._asdict()
        return Result(
            self.labels_,
            self.embedding_,
            self.seconds_ | seconds,
            {} if estimate is None else {"n_clusters_estimated": estimate},
            obs={"confidence": self.confidence_, "group": self.groups_},
            obsm={"map": self.map_},
            uns={name: getattr(self, f"{name}_") for name in names} | {"tree": tree},
            model=self,
        )

    def predict(
        self,
        adata: AnnData,
        *,
        layer: str | None = None,
        kind: str = "auto",
        batch_key: str | None = None,
        n_neighbors: int = 7,
        max_missing: float = 0.2,
    ) -> Result:
        """Return the clusters of new cells, one or more; `adata` is not changed.

        :func:`jojoscl.predict` puts them into `adata`.

        Parameters
        ----------
        adata, layer, kind
            As for :func:`jojoscl.cluster`. Genes are found by name, in any order; others are
            ignored. Logarithms are brought to the total of the fit.
        batch_key
            Column of obs with the sample of each new cell, one or more: what differs between them
            and the cells of the fit is taken away by Harmony, where types are alike. It needs
            harmonypy. None: they are compared as they are.
        n_neighbors
            How many cells of the fit vote.
        max_missing
            Share of the variable genes of the fit that may be missing, 0 to 1. A gene is also
            missing if no new cell has it and, by its share in the fit, ten or more should. It
            counts as average.

        Returns
        -------
        Clusters `labels` (n,); `embedding` (n, d), among the cells of the fit;
        ``obs["confidence"]`` (n,), the share of the votes for the label, 0 to 1;
        ``obs["novelty"]`` (n,), the share of the cluster's own cells that are nearer to their
        neighbors than this cell is to its own, 0 to 1: above .95 it may be of a type that the fit
        never saw; ``info["missing_genes"]``.
        """
        watch = Stopwatch()
        if (k := whole(n_neighbors)) is None or k < 1:
            raise UserError(f"n_neighbors must be a whole number above 0, not {n_neighbors!r}.")
        number = isinstance(max_missing, int | float | np.number) and max_missing is not True
        if not number or not 0 <= max_missing <= 1:
            raise UserError(f"max_missing must be a number between 0 and 1, not {max_missing!r}.")
        cells = as_cells(adata, layer=layer, kind=kind, fewest=1)
        samples = None if batch_key is None else types_of(adata, batch_key).codes
        if cells.uns["kind"] != self.kind:
            raise UserError(
                f"The values are {cells.uns['kind']}, and the model was fitted on {self.kind}: "
                "give these, or say what they are by kind=."
            )
        with alone():
            x = self._expression(cells)
            missing = self._missing(x, cells, max_missing, adata.var)
            h = x @ np.where(missing[:, None], 0, self.loadings).astype(np.float32)
            watch.lap("preprocess")
            positions = self.positions
            if samples is not None:  # the cells of the fit are one sample more, after its Harmony
                positions = self.embedding_[self.voters]
                of_all = np.concatenate([np.full(len(positions), -1), samples])
                both = without_samples(np.vstack([positions, h]), of_all, seed=self.seed)
                positions, h = both[: len(positions)], both[len(positions) :]
            labels, weights = self.labels_[self.voters], self.confidence_[self.voters]
            found = votes(h, positions, labels, weights, k)
        watch.lap("assign")
        info = {"missing_genes": int(missing.sum())}
        obs = {"confidence": found.confidence, "novelty": found.novelty}
        return Result(found.labels, h, watch.seconds, info, obs=obs)

    def _expression(self, cells: AnnData) -> Expression:
        """Return new cells with the genes (g,), -1 if they lack one, and moments of the fit."""
        found = cells.var_names.get_indexer(self.names)
        genes, counted = found[self.genes], np.unique(found[found >= 0])
        there = np.flatnonzero(genes >= 0)
        columns = np.searchsorted(counted, genes[there])
        ones = np.ones(len(there), np.float32)
        place = sp.csr_matrix((ones, (columns, there)), (len(counted), len(genes)))
        values, totals = [], []
        for band in bands(cells, counted, self.rounded):
            counts = band.expm1() if self.kind == "log1p" else band
            totals.append(np.asarray(counts.sum(1), np.float32).ravel())
            values.append(band @ place)
        x, total = sp.vstack(values, format="csr"), np.concatenate(totals)
        if self.kind == "log1p":  # to the total of the fit: scanpy's default depends on the cells
            factor = self.profile[found >= 0].sum() / total.mean(dtype=np.float64)
            x.data = np.log1p(np.expm1(x.data) * np.float32(factor))
        return Expression(
            x,
            self.kind,
            total,
            np.where(total > 0, total, 1),
            self.unit,
            genes,
            counted,
            np.asarray(cells.var_names[counted]),
            self.profile,
            limit=math.inf if self.limit is None else self.limit,
            moments=(self.mean, self.sd),
        )

    def _missing(
        self, x: Expression, cells: AnnData, max_missing: float, var: pd.DataFrame
    ) -> np.ndarray:
        """Return which genes (g,) are missing; too many, and cells without any, are refused."""
        expected = self.seen * len(x) >= _EXPECTED
        missing = (x.values.getnnz(axis=0) == 0) & (expected | (x.genes < 0))
        if missing.any():
            of_all = f"{missing.sum()} of {len(missing)} variable genes of the model"
            first = self.names[self.genes[missing.argmax()]]
            if missing.sum() > max_missing * len(missing):
                raise UserError(
                    f"{of_all} are missing (such as {first!r}): give cells with the same names of "
                    f"genes{names_that_fit(self.names, var)}, or raise max_missing."
                )
            log.warning("%s are missing (such as %r): they count as average", of_all, first)
        empty = np.flatnonzero(x.values.getnnz(axis=1) == 0)
        if len(empty):
            raise UserError(
                f"{len(empty)} cells have no count in any variable gene of the model (such as "
                f"{cells.obs_names[empty[0]]!r}): drop them."
            )
        return missing

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model to a file, whole or not at all; one that is there needs `overwrite`."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        write_parts(path, parts, overwrite=overwrite)


def load(path: str | os.PathLike[str]) -> Fitted:
    """Read a model that :meth:`Fitted.save` wrote. Nothing in the file is run.

    A file that is damaged, or no model, is a :class:`UserError`.
    """
    source = model_path(path)
    with reading(source):
        return Fitted(**read_parts(source))
