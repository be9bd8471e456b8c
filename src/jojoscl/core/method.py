"""The default method: shrinkage contrast with neighbors as positives, in closed form, and a consensus of partitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells, samples_of, without_labels
from jojoscl.cells.old import counts_of, stored
from jojoscl.cells.preprocess import Preprocess
from jojoscl.cells.store import Store
from jojoscl.core.components import leading_axes, pearson_residuals, unit_rows, unit_scale
from jojoscl.core.consensus import Consensus, consensus, micro_linkage
from jojoscl.core.contrast import Contrast, linear_contrast, no_contrast, pair_variance
from jojoscl.core.fitted import Fitted
from jojoscl.core.graph import (
    adaptive_neighbors,
    estimate_n_clusters,
    jaccard,
    nearest,
    shared_neighbors,
    smooth,
    strongest,
)
from jojoscl.core.interface import (
    MethodSettings,
    Result,
    check_n_clusters,
    check_seed,
    estimated,
    isolated_and_timed,
)
from jojoscl.core.kmeans import kmeans, spread
from jojoscl.core.samples import without_samples
from jojoscl.core.shrinkage import shrink_embedding
from jojoscl.networks.settings import Run
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import at_most
from jojoscl.utils.settings import setting


class Views(NamedTuple):
    """Cells x by rows, and of a sample of them (m,) the graph of positives (m, m)."""

    x: Store
    sample: np.ndarray
    graph: sp.csr_matrix


@dataclass(kw_only=True)
class JojoSCL(MethodSettings):
    """Shrinkage contrastive learning: what :func:`jojoscl.cluster` runs.

    1. Positives: neighbors of a cell in two views, the log-normalised counts and their Pearson residuals; of several
       samples after Harmony, so that positives cross samples.
    2. Contrast: the linear encoder that spreads cells and keeps positives together, each component shrunk by SURE
       (:mod:`jojoscl.core.contrast`). It has a closed form: nothing is trained.
    3. Clusters: the consensus of K-means and of linkages of the embedding (of several samples after Harmony), smoothed
       over its own neighbors.

    Examples
    --------
    >>> method = jojoscl.JojoSCL(n_draws=2)  # doctest: +SKIP
    >>> method.fit_predict(adata, n_clusters=8).labels  # doctest: +SKIP
    """

    takes_batch = True

    name: str = setting("jojoscl", "What the results call it.")
    preprocess: Preprocess = setting(
        Preprocess(min_cells=2, target_sum=1e4, hvg_flavor="robust_v3"),
        "From counts to z-scores of variable genes.",
    )
    view_dims: int = setting(30, "Components of each view in which positives are sought.", low=1)
    theta: float = setting(
        100.0, "The Pearson residuals take mu + mu^2 / theta for the variance of a count.", low=1e-3
    )
    positives: list[int] = setting([8, 20], "Fewest and most positives of a cell.", low=1)
    positives_factor: float = setting(
        0.7, "Between these, a cell has this many times sqrt(n_cells).", low=0
    )
    prune: float = setting(
        1 / 15, "A smaller Jaccard index of two cells' neighbors counts as none.", low=0, high=1
    )
    contrast: str = setting(
        "neighbors",
        "Who is a cell's positive: its neighbors, or nobody, which leaves principal components (an ablation).",
        values=("neighbors", "none"),
    )
    n_components: int = setting(100, "Principal components that the encoder starts from.", low=1)
    n_dims: int = setting(40, "Components of the embedding h.", low=1)
    ridge: float = setting(
        0.1, "Share of the mean variance between positives that is added to each direction.", low=0
    )
    shrink: bool = setting(True, "Whether SURE shrinks the components of h.")
    n_draws: int = setting(
        4, "Random choices of components and neighbors, four partitions each.", low=1
    )
    min_dims: int = setting(20, "A draw sees the first min_dims to n_dims components.", low=1)
    smoothing: list[int] = setting(
        [6, 20], "Fewest and most neighbors that a draw smooths over.", low=1
    )
    smoothing_factors: list[float] = setting(
        [0.5, 0.9], "Between these, it is sqrt(n_cells) times a number from this range.", low=0
    )
    n_micro: int = setting(150, "K-means clusters that linkage starts from.", low=1)
    exponent: float = setting(
        0.5, "Weight of sizes in linkage: 0 splits off outliers, 1 makes like sizes.", low=0
    )
    kmeans_starts: int = setting(3, "Starts of K-means; the best is kept.", low=1)
    consensus_micro: int = setting(250, "Groups of cells that the consensus starts from.", low=2)
    consensus_exponent: float = setting(0.2, "The weight of sizes in the consensus.", low=0)
    min_cells: int = setting(3, "A cluster of fewer cells joins another.", low=1)
    estimate_resolution: float = setting(
        0.35, "Leiden's resolution where the number of clusters is not given.", low=0
    )
    sample: int = setting(
        15_000, "Above this many cells a random subset is clustered and the others join it.", low=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("positives", "smoothing", "smoothing_factors"):
            bounds = getattr(self, name)
            if len(bounds) != 2 or bounds[0] > bounds[1]:
                raise UserError(
                    f"{name} is the least and the most, such as {[8, 20]}, not {bounds}."
                )
        if self.min_dims > self.n_dims:
            raise UserError(
                f"min_dims={self.min_dims} is more than n_dims={self.n_dims}: lower it."
            )

    @isolated_and_timed
    def fit_predict(
        self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None
    ) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.core.interface.Method`)."""
        told = None if n_clusters is None else check_n_clusters(n_clusters, adata.n_obs)
        if told and told > self.sample:
            raise UserError(f"sample={self.sample} cells cannot make {told} clusters: raise it.")
        watch = Stopwatch()
        x = stored(self.preprocess, adata)
        watch.lap("preprocess")
        views = self.views(x, adata, seed=seed)
        watch.lap("positives")
        contrast, loadings = self.encode(views, seed=seed)
        samples, linear = samples_of(adata), x @ loadings
        h = linear if samples is None else without_samples(linear, samples, seed=seed)
        watch.lap("contrast")
        points = h[views.sample]
        neighbors = self.neighbors(points)
        k = told or self.estimate(neighbors, seed=seed)
        found = self.cluster(points, neighbors, k, seed=seed)
        found = Consensus(*spread(h, views.sample, *found, seed=seed))
        noise = float(np.square(contrast.shrinkage).mean()) if self.shrink else 1.0
        shrunk, of_cluster = shrink_embedding(h, found.labels, noise)
        model = Fitted.of(
            self.plain(), adata, x, loadings, views.sample, linear[views.sample], found, seed
        )
        watch.lap("assign")
        return Result(
            found.labels,
            h,
            watch.seconds,
            estimated(n_clusters, k),
            obs={"confidence": found.confidence},
            obsm={"map": shrunk},
            uns={
                "ratio": contrast.ratio,
                "shrinkage": contrast.shrinkage,
                **{name: getattr(of_cluster, name) for name in ("sigma2", "tau2", "b")},
            },
            model=model,
        )

    def fit(
        self,
        adata: AnnData,
        n_clusters: int | None = None,
        *,
        layer: str | None = None,
        kind: str = "auto",
        batch_key: str | None = None,
        seed: int = 0,
    ) -> Fitted:
        """Cluster cells as :func:`jojoscl.cluster` does, and return a model that predicts for others and can be saved.

        The arguments are those of :func:`jojoscl.cluster`; `adata` is not changed.
        """
        cells = without_labels(as_cells(adata, layer=layer, kind=kind, batch_key=batch_key))
        result = self.fit_predict(cells, n_clusters, seed=check_seed(seed))
        assert isinstance(result.model, Fitted)
        return result.model

    def neighbors(self, h: np.ndarray) -> np.ndarray:
        """Return indices (n, k) of each cell and its nearest ones in the embedding h (n, d), as many as are used."""
        return nearest(h, min(max(self.positives[1], self.smoothing[1]), len(h)))

    def estimate(self, neighbors: np.ndarray, *, seed: int) -> int:
        """Return K for cells with these neighbors (n, k): how many communities their graph has."""
        k = adaptive_neighbors(len(neighbors), self.positives_factor, self.positives)
        graph = jaccard(neighbors[:, :k], self.prune)
        return estimate_n_clusters(
            graph, resolution=self.estimate_resolution, min_cells=self.min_cells, seed=seed
        )

    def n_clusters_of(self, adata: AnnData, *, seed: int, cache: Path | None) -> int:
        """Return the estimate of K, for a method that has none of its own."""
        views = self.views(stored(self.preprocess, adata), adata, seed=seed)
        _, loadings = self.encode(views, seed=seed)
        return self.estimate(self.neighbors(views.x[views.sample] @ loadings), seed=seed)

    def views(self, x: Store, adata: AnnData, *, seed: int) -> Views:
        """Return the two views' graph of positives: the sum of their shared-nearest-neighbor graphs."""
        sample = at_most(np.arange(len(x)), self.sample, seed=seed)
        k = adaptive_neighbors(len(sample), self.positives_factor, self.positives)
        graphs, samples = [], samples_of(adata)
        for view in self.views_of(x, adata, sample):
            view -= view.mean(0)
            scores = view @ leading_axes(view, self.view_dims, seed=seed)
            scores = (
                scores if samples is None else without_samples(scores, samples[sample], seed=seed)
            )
            graphs.append(shared_neighbors(scores, k, self.prune))
            del view  # before the next is made, for both are large
        return Views(x, sample, sum(graphs[1:], graphs[0]).tocsr())

    def views_of(self, x: Store, adata: AnnData, sample: np.ndarray) -> Iterator[np.ndarray]:
        """Yield logarithms, then Pearson residuals, (m, n_genes), of the cells of `sample` (m,)."""
        logs = x[sample]
        logs *= x.scale[1].numpy().astype(np.float32)
        yield logs
        del logs
        counts = counts_of(self.preprocess, adata, sample)
        yield pearson_residuals(counts[:, x.genes], np.asarray(counts.sum(1)).ravel(), self.theta)

    def encode(self, views: Views, *, seed: int) -> tuple[Contrast, np.ndarray]:
        """Return the contrast and the encoder as loadings (n_genes, d), for z-scores."""
        z = views.x[views.sample]
        axes = leading_axes(z, self.n_components, seed=seed)
        scores = z @ axes
        scale = unit_scale(scores)
        scores = (scores - scores.mean(0)) / scale
        if self.contrast == "none":
            contrast = no_contrast(axes.shape[1], self.n_dims)
        else:
            k = adaptive_neighbors(len(scores), self.positives_factor, self.positives)
            within = pair_variance(scores, *strongest(views.graph, k))
            contrast = linear_contrast(scores, within, n_dims=self.n_dims, ridge=self.ridge)
        return contrast, axes @ contrast.encoder(shrink=self.shrink) / scale

    def cluster(
        self, h: np.ndarray, neighbors: np.ndarray, n_clusters: int, *, seed: int
    ) -> Consensus:
        """Return the consensus of `n_draws` times four partitions of h (n, d), given its neighbors (n, k)."""
        draws = (
            self.partitions(h, neighbors, n_clusters, [seed, draw]) for draw in range(self.n_draws)
        )
        return consensus(
            list(chain.from_iterable(draws)),
            n_clusters,
            exponent=self.consensus_exponent,
            n_micro=self.consensus_micro,
            min_cells=self.min_cells,
            seed=seed,
        )

    def partitions(
        self, h: np.ndarray, neighbors: np.ndarray, n_clusters: int, seeds: list[int]
    ) -> Iterator[np.ndarray]:
        """Yield K-means and linkage (n,) of h (n, d), by distance and by angle, after a random amount of smoothing."""
        rng = np.random.default_rng(seeds)
        n_dims = int(rng.integers(min(self.min_dims, h.shape[1]), h.shape[1] + 1))
        low, high = self.smoothing_factors
        k = adaptive_neighbors(len(h), rng.uniform(low, high), self.smoothing)
        k = min(k, len(h) // n_clusters)  # more would mix the clusters of a few cells
        seed = int(rng.integers(2**20))
        points = np.ascontiguousarray(h[:, :n_dims])
        graph = jaccard(neighbors[:, :k], self.prune)
        for x in (smooth(points, graph), unit_rows(smooth(unit_rows(points), graph))):
            yield kmeans(x, n_clusters, seed=seed, n_init=self.kmeans_starts)[0]
            yield micro_linkage(x, n_clusters, self.n_micro, exponent=self.exponent, seed=seed)
