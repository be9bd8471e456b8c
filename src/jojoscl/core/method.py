"""The default method: shrinkage contrast of neighbors in closed form, then a consensus."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells
from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.consensus import Clusters, confidence_of, consensus, stability_of
from jojoscl.core.contrast import (
    Contrast,
    leading_axes,
    leading_scores,
    linear_contrast,
    no_contrast,
    pair_variance,
    unit_scale,
    weighted,
)
from jojoscl.core.fitted import Fitted
from jojoscl.core.gpu import accelerated
from jojoscl.core.interface import (
    Method,
    Result,
    alone,
    check_seed,
    side_by_side,
    timed,
)
from jojoscl.core.linkage import Tree, size_linkage, small_clusters
from jojoscl.core.positives import (
    communities,
    jaccard,
    nearest,
    smooth,
    strongest,
    unit_rows,
    without_samples,
)
from jojoscl.core.shrinkage import shrink_embedding
from jojoscl.core.sketch import given_k, join, sketch
from jojoscl.utils.progress import Stopwatch
from jojoscl.utils.settings import IRRELEVANT, setting

log = logging.getLogger(__name__)

POSITIVES = 8, 20  # fewest and most of a cell: more reach beyond the types of few cells
SMOOTHING = 4, 9  # fewest and most neighbors that a draw smooths over: more drown small types
THETA = 100.0  # the variance of a count is mu + mu^2 / theta (Lause et al. 2021)
MIN_DIMS = 20  # a draw sees this many of the first components, or more
GROUPS = 250  # of cells, from which the consensus starts
LEAST = 0.15  # a cluster has at least this many times sqrt(n) cells, or it counts as outliers
BESIDE_K = ((1, 1.0), (1 / 2, 0.3), (2, 0.3))  # times K: where trees are cut, and the weight
BY_ANGLE = 0.0, 0.2  # exponents of the linkages by angle
# Of the communities that are counted if K is not given; in a sketch the large ones are smaller
K_NEIGHBORS, K_RESOLUTION, K_IN_SKETCH = 8, 0.2, 0.5


@dataclass(kw_only=True)
class JojoSCL(Method):
    """Shrinkage contrastive learning: what :func:`jojoscl.cluster` runs.

    1. Positives: neighbors of a cell in two views, the log-normalised counts and their Pearson
       residuals; of several samples after Harmony, so that positives cross samples.
    2. Contrast: the linear encoder that spreads cells and keeps positives together, each component
       shrunk by SURE (:mod:`jojoscl.core.contrast`). It has a closed form: nothing is trained.
    3. Clusters: linkages of the embedding (of several samples after Harmony), smoothed over its own
       neighbors, which differ in how much sizes count. Their consensus is a tree; its cut at K
       gives the clusters, and large and small types may stand side by side.

    Examples
    --------
    >>> model = jojoscl.JojoSCL(n_draws=2).fit(adata, n_clusters=8)  # doctest: +SKIP
    >>> model.labels_, model.embedding_, model.confidence_  # doctest: +SKIP
    """

    takes_batch = True
    stages: ClassVar[tuple[str, ...]] = "preprocess", "sketch", "contrast", "assign"

    name: str = setting("jojoscl", "What the results call it.")
    preprocess: Preprocess = setting(
        Preprocess(min_cells=2, target_sum=1e4, hvg_flavor="robust_v3"),
        "From counts to z-scores of variable genes.",
    )
    view_dims: int = setting(30, "Components of each view in which positives are sought.", low=1)
    positives_factor: float = setting(
        0.7, "A cell has this many times sqrt(n_cells) positives, at least 8, at most 20.", low=0
    )
    contrast: str = setting(
        "neighbors",
        "A cell's positives: its neighbors; or none, which leaves principal components.",
        values=("neighbors", "none"),
    )
    n_components: int = setting(100, "Principal components that the encoder starts from.", low=1)
    n_dims: int = setting(40, "Components of the embedding h.", low=1)
    ridge: float = setting(
        0.1, "Share of the mean variance between positives that is added to each direction.", low=0
    )
    shrink: bool = setting(True, "Whether SURE shrinks the components of h.")
    n_draws: int = setting(
        4,
        "Random choices of components and neighbors; each makes linkages by distance and angle.",
        low=1,
    )
    n_small: int = setting(150, "K-means clusters that a linkage starts from.", low=1)
    exponents: list[float] = setting(
        [0.0, 0.2, 0.5, 1.0],
        "What sizes count in the linkages by distance: 0 nothing, 1 makes like sizes.",
        low=0,
    )
    min_cells: int = setting(3, "Fewer cells count as outliers, and make no cluster.", low=1)
    sample: int = setting(
        15_000, "Above this many cells a sketch is clustered; the others join it.", low=10
    )
    n_jobs: int | None = setting(
        -1, "Threads, for the same labels; -1 is all, see OMP_NUM_THREADS.", neutral=IRRELEVANT
    )
    accelerator: str = setting("cpu", "Or gpu, by torch.", values=("cpu", "gpu"), neutral="cpu")

    def fit(
        self,
        cells: AnnData | Expression,
        n_clusters: int | None = None,
        *,
        layer: str | None = None,
        kind: str = "auto",
        batch_key: str | None = None,
        seed: int = 0,
    ) -> Fitted:
        """Cluster cells, and return a model that predicts for others and can be saved.

        Parameters
        ----------
        cells
            Cells x genes, as for :func:`jojoscl.cluster`; or what `preprocess` made of them.
        n_clusters, layer, kind, batch_key, seed
            As for :func:`jojoscl.cluster`.
        """
        seed, watch = check_seed(seed), Stopwatch()
        n_jobs = 1 if self.accelerator == "gpu" else self.n_jobs
        with accelerated(self.accelerator), alone(n_jobs=n_jobs):
            if not isinstance(cells, Expression):
                checked = as_cells(cells, layer=layer, kind=kind, batch_key=batch_key)
                cells = self.preprocess(checked)
            x = cells
            k = None if n_clusters is None else given_k(n_clusters, len(x), self.sample)
            watch.lap("preprocess")

            encode = partial(self.encode, x, seed=seed)
            some, stands_for, seen, of_seen = sketch(x, self.sample, encode, seed=seed)
            watch.lap("sketch")

            contrast, loadings = encode(seen, of_seen)  # (g, 40)
            linear = x @ loadings  # (n, 40)
            h = linear if x.samples is None else without_samples(linear, x.samples, seed=seed)
            watch.lap("contrast")

            neighbors = nearest(h[some], min(SMOOTHING[1], len(some)))  # (m, 9)
            k = k or self.estimate(neighbors, len(some) < len(x), seed=seed)
            found = self.cluster(h[some], neighbors, k, seed=seed)
            groups, confidence = join(h, some, stands_for, found, k)  # (n,)
            labels = found.tree.cut(k)[groups]  # (n,)
            # The noise of u_k is 1, so that of h_k is b'_k^2: sigma2 is the mean over k.
            sigma2 = float(np.square(contrast.shrinkage).mean()) if self.shrink else 1.0
            map_, of_cluster = shrink_embedding(h, labels, sigma2)  # (n, 40)
            watch.lap("assign")
        return Fitted.of(
            x,
            found.tree,
            settings=self.plain(),
            seed=seed,
            loadings=loadings,
            voters=some,
            positions=linear[some],
            labels_=labels,
            confidence_=confidence,
            groups_=groups,
            stability_=found.stability,
            embedding_=h,
            map_=map_,
            **{f"{name}_": getattr(contrast, name) for name in ("ratio", "shrinkage")},
            **{f"{name}_": getattr(of_cluster, name) for name in ("sigma2", "tau2", "b")},
            n_clusters_estimated=k if n_clusters is None else None,
            seconds_=watch.seconds,
        )

    @timed
    def fit_predict(self, cells: AnnData, n_clusters: int | None, *, seed: int = 0) -> Result:
        """Cluster checked cells, see :class:`~jojoscl.core.interface.Method`."""
        watch = Stopwatch()
        if n_clusters is not None:
            given_k(n_clusters, cells.n_obs, self.sample)  # before the work
        with alone(n_jobs=self.n_jobs):
            x = self.preprocess(cells)
        watch.lap("preprocess")
        return self.fit(x, n_clusters, seed=seed).result(watch.seconds)

    def encode(
        self, x: Expression, some: np.ndarray, weights: np.ndarray | None = None, *, seed: int
    ) -> tuple[Contrast, np.ndarray]:
        """Return the contrast of some cells of x by weights (m,), and its loadings (g, d)."""
        z = x.zscores(some)  # (m, g)
        # (m, g): logarithms less their mean, and residuals
        views = (lambda: z * x.sd.astype(np.float32), lambda: x.residuals(some, THETA))
        tasks = [partial(leading_scores, v, weights, self.view_dims, seed=seed) for v in views]
        axes_of = partial(leading_axes, weighted(z, weights), self.n_components, seed=seed)
        axes, *views_of = side_by_side([axes_of, *tasks])  # (g, 100), (m, 30) each
        scores = z @ axes  # (m, 100)
        scale = unit_scale(scores)
        scores = (scores - np.average(scores, 0, weights)) / scale
        if self.contrast == "none":
            contrast = no_contrast(axes.shape[1], self.n_dims)
        else:
            samples = None if x.samples is None else x.samples[some]
            positives = self.positives(views_of, samples, seed=seed)
            i, j, w = strongest(positives, self._n_positives(len(z)))
            within = pair_variance(scores, i, j, w if weights is None else w * weights[i])
            scores = weighted(scores, weights)
            contrast = linear_contrast(scores, within, n_dims=self.n_dims, ridge=self.ridge)
        return contrast, axes @ contrast.encoder(shrink=self.shrink) / scale

    def positives(
        self, views: Sequence[np.ndarray], samples: np.ndarray | None, *, seed: int
    ) -> sp.csr_matrix:
        """Return the graph (m, m) of positives of cells in views (m, d), and of their samples."""
        m = len(views[0])
        graph = sp.csr_matrix((m, m), dtype=np.float32)
        for x in views:
            scores = x if samples is None else without_samples(x, samples, seed=seed)
            graph = graph + jaccard(nearest(scores, min(self._n_positives(m), m)))
        return graph.tocsr()

    def estimate(self, neighbors: np.ndarray, sketched: bool = False, *, seed: int) -> int:
        """Return K of cells with neighbors (m, k): their communities of `min_cells` or more."""
        resolution = K_IN_SKETCH if sketched else K_RESOLUTION
        found = communities(jaccard(neighbors[:, :K_NEIGHBORS]), resolution, seed=seed)
        return max(2, int((np.bincount(found) >= self.min_cells).sum()))

    def cluster(self, h: np.ndarray, neighbors: np.ndarray, k: int, *, seed: int) -> Clusters:
        """Return the consensus of the trees of h (m, d), given its neighbors (m, 9), and K."""
        least = float(max(self.min_cells, LEAST * len(h) ** 0.5))
        of_draw = partial(self._trees, h, neighbors, k, least)
        draws = side_by_side(partial(of_draw, [seed, draw]) for draw in range(self.n_draws))
        trees = list(chain.from_iterable(draws))
        cuts = [
            [tree.cut(max(2, round(times * k)))[small] for small, tree in trees]  # (m,) each
            for times, _ in BESIDE_K
        ]
        at_k, partitions = cuts[0], list(chain.from_iterable(cuts))
        weights = [weight for _, weight in BESIDE_K for _ in trees]
        n_groups = max(GROUPS, 2 * k)
        groups, tree = consensus(partitions, weights, n_groups, least=least, seed=seed)
        labels = tree.cut(k)[groups]  # (m,)
        if (made := int(labels.max()) + 1) < k:
            words = "%d clusters were asked for, and %d are found: other cells are too much alike."
            log.warning(words, k, made)
        return Clusters(groups, confidence_of(at_k, labels), tree, stability_of(at_k, labels))

    def _trees(
        self, h: np.ndarray, neighbors: np.ndarray, k: int, least: float, seeds: list[int]
    ) -> list[tuple[np.ndarray, Tree]]:
        """Return small clusters (m,) of h (m, d) and their trees, by distance and by angle."""
        rng, m, trees = np.random.default_rng(seeds), len(h), []
        n_dims = int(rng.integers(min(MIN_DIMS, h.shape[1]), h.shape[1] + 1))
        n_neighbors = int(rng.integers(SMOOTHING[0], SMOOTHING[1] + 1))
        n_neighbors = min(n_neighbors, m // k)  # more would mix clusters of a few cells
        seed = int(rng.integers(2**20))
        points = np.ascontiguousarray(h[:, :n_dims])
        graph = jaccard(neighbors[:, :n_neighbors])
        n_small = min(m, max(2 * k, min(max(4 * k, self.n_small), m // 3)))
        by_angle = unit_rows(smooth(unit_rows(points), graph))
        for x, exponents in ((smooth(points, graph), self.exponents), (by_angle, BY_ANGLE)):
            small, distance = small_clusters(x, n_small, seed=seed)  # (m,), (n_small, n_small)
            for exponent in exponents:
                trees.append((small, size_linkage(distance, np.bincount(small), exponent, least)))
        return trees

    def _n_positives(self, n_cells: int) -> int:
        wanted = round(self.positives_factor * n_cells**0.5)
        return int(min(np.clip(wanted, *POSITIVES), n_cells - 1))
