"""Controls: what costs nothing to try first, and the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anndata import AnnData

from jojoscl.clustering.kmeans import kmeans
from jojoscl.data.preprocess import Preprocess
from jojoscl.methods.base import Result, check_n_clusters
from jojoscl.model.anchor import principal_components
from jojoscl.training.settings import Run
from jojoscl.utils.clock import Stopwatch
from jojoscl.utils.settings import Settings, between


@dataclass(kw_only=True)
class PCAKMeans(Settings):
    """K-means on the leading principal components."""

    name: str
    preprocess: Preprocess
    n_pcs: int = between(1)
    n_init: int = between(1)

    takes_oracle = False

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`)."""
        k = check_n_clusters(n_clusters, adata.n_obs)
        watch = Stopwatch()
        cells = self.preprocess(adata, run.cache if run else None)
        watch.lap("preprocess")
        x = principal_components(cells.X, self.n_pcs, seed=seed)
        watch.lap("train")
        labels, _ = kmeans(x, k, seed=seed, n_init=self.n_init)
        watch.lap("assign")
        return Result(labels, x, watch.seconds)


@dataclass(kw_only=True)
class RandomLabels(Settings):
    """The floor: clusters of equal size drawn without a look at the cells."""

    name: str

    takes_oracle = False

    def fit_predict(self, adata: AnnData, n_clusters: int | None, *, seed: int = 0, run: Run | None = None) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`)."""
        k = check_n_clusters(n_clusters, adata.n_obs)
        watch = Stopwatch()
        rng = np.random.default_rng(seed)
        labels = rng.permutation(adata.n_obs) % k
        embedding = rng.standard_normal((adata.n_obs, 2), dtype=np.float32)
        watch.lap("assign")
        return Result(labels, embedding, watch.seconds)
