"""Communities in a graph of neighbors: Leiden as in scanpy, Seurat, dense regions of a UMAP."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from sklearn.cluster import HDBSCAN
from sklearn.neighbors import KNeighborsClassifier

from jojoscl.baselines.components import OnComponents
from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.positives import igraph_seed, jaccard, nearest, to_igraph
from jojoscl.utils.settings import setting

ClusterAt = Callable[[float], np.ndarray]  # gives labels (n,) at a resolution


@dataclass(kw_only=True)
class OnGraph(OnComponents):
    """Find communities in a graph of neighbors.

    With `match_k` the resolution is searched from `resolution` until there are `n_clusters`
    clusters: that row is given K, as the other methods are. Without, K is what comes out.
    """

    n_neighbors: int = setting(15, "Neighbors in the graph; the cell itself is one.", low=2)
    resolution: float = setting(
        1.0, "Resolution of the communities, or where the search for K begins.", low=0
    )
    match_k: bool = setting(False, "Whether to search the resolution that gives K clusters.")

    @property
    def finds_k(self) -> bool:
        """Whether the method finds the number of clusters itself."""
        return not self.match_k

    def clusters(self, x: np.ndarray, k: int, *, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        """Return the communities at one resolution, or those with k of them, and the resolution."""
        cluster_at, resolution = self.communities(x, seed=seed), self.resolution
        if self.finds_k:
            return cluster_at(resolution), {"resolution": resolution}
        labels, resolution = match_resolution(cluster_at, k, start=resolution)
        return labels, {"resolution": resolution}

    @abstractmethod
    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives the communities (n,) of components x (n, d) at a resolution."""


def neighbor_graph(x: np.ndarray, n_neighbors: int, *, seed: int) -> AnnData:
    """Return scanpy's graph of the nearest neighbors of x (n, d), weighted as in UMAP."""
    graph = AnnData(x.astype(np.float32))
    k = min(n_neighbors, len(x) - 1)
    sc.pp.neighbors(graph, n_neighbors=k, use_rep="X", random_state=seed)
    return graph


def match_resolution(
    cluster_at: ClusterAt, n_clusters: int, *, start: float, n_steps: int = 40
) -> tuple[np.ndarray, float]:
    """Return labels of `n_clusters` clusters and their resolution, by bisection on its logarithm.

    The number of clusters hardly ever falls as the resolution rises, and may skip a value: then the
    labels are those whose number came nearest.
    """
    low, high, resolution = 0.0, math.inf, start
    tried: list[tuple[int, np.ndarray, float]] = []
    for _ in range(n_steps):
        labels = cluster_at(resolution)
        excess = len(np.unique(labels)) - n_clusters
        tried.append((abs(excess), labels, resolution))
        if excess == 0:
            break
        low, high = (low, resolution) if excess > 0 else (resolution, high)
        if low == 0:
            resolution = high / 2
        elif math.isinf(high):
            resolution = low * 2
        else:
            resolution = math.sqrt(low * high)
    _, labels, resolution = min(tried, key=lambda one: one[0])
    return labels, resolution


@dataclass(kw_only=True)
class Leiden(OnGraph, name="leiden"):
    """Principal components, UMAP's fuzzy neighbor graph, Leiden (Traag et al. 2019), as in scanpy.

    With `match_k` the resolution is searched until there are K clusters.
    """

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives Leiden's communities at a resolution."""
        graph = neighbor_graph(x, self.n_neighbors, seed=seed)
        how = {"flavor": "igraph", "n_iterations": 2, "directed": False}

        def cluster_at(resolution: float) -> np.ndarray:
            sc.tl.leiden(graph, resolution, random_state=seed, **how)
            return np.asarray(graph.obs["leiden"], dtype=np.int64)

        return cluster_at


@dataclass(kw_only=True)
class PearsonLeiden(
    Leiden, name="pearson_leiden", preprocess=Preprocess(min_cells=3, n_top_genes=None)
):
    """Leiden after scanpy's recipe of Pearson residuals (Lause et al., Genome Biol 2021).

    The recipe chooses the genes itself.
    """

    n_genes: int = setting(2000, "Genes with the most variable residuals.", low=1)
    theta: float = setting(100.0, "Overdispersion of the residuals.", low=0)

    def components(self, cells: Expression, *, seed: int) -> np.ndarray:
        """Return the principal components (n, d) of the residuals."""
        adata = AnnData(cells.counts())
        n_genes = min(self.n_genes, adata.n_vars)
        sc.experimental.pp.recipe_pearson_residuals(
            adata,
            n_top_genes=n_genes,
            theta=self.theta,
            n_comps=min(self.n_pcs, adata.n_obs - 1, n_genes - 1),
            random_state=seed,
            check_values=False,
        )
        return np.asarray(adata.obsm["X_pca"], np.float32)


@dataclass(kw_only=True)
class HDBSCANOnUMAP(OnGraph, name="hdbscan", n_neighbors=30):
    """HDBSCAN on a UMAP without a least distance, as UMAP's documentation advises.

    McInnes et al., JOSS 2017 and 2018. A cell that HDBSCAN calls noise joins the cluster of the
    nearest cell that has one. With `match_k` the size of the smallest cluster is searched.
    """

    smallest: int = setting(15, "Cells of the smallest cluster, at resolution 1.", low=2)

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives the clusters of `smallest` / resolution cells or more."""
        graph = neighbor_graph(x, self.n_neighbors, seed=seed)
        sc.tl.umap(graph, min_dist=0.0, random_state=seed)
        plane = graph.obsm["X_umap"]

        def cluster_at(resolution: float) -> np.ndarray:
            size = int(np.clip(round(self.smallest / resolution), 2, len(x)))
            labels = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(plane)
            kept = labels >= 0
            if not kept.any():
                return np.zeros(len(x), np.int64)
            return np.asarray(KNeighborsClassifier(1).fit(plane[kept], labels[kept]).predict(plane))

        return cluster_at


@dataclass(kw_only=True)
class Seurat(
    OnGraph,
    name="seurat",
    preprocess=Preprocess(
        round_counts=False, target_sum=1e4, hvg_flavor="seurat_v3", max_value=10.0
    ),  # its "vst"
    n_pcs=10,  # the first of its 50 that FindNeighbors takes by default
    n_neighbors=20,
    resolution=0.8,
):
    """Components, shared-nearest-neighbor graph, Louvain (Hao et al., Nat Biotechnol 2024).

    By its defaults, with exact neighbors in place of approximate ones. Seurat finds the number of
    clusters itself. With `match_k` the resolution is searched until there are K clusters.
    """

    prune: float = setting(0.0667, "Weaker edges are dropped; 1/15.", low=0, high=1)
    n_starts: int = setting(10, "Starts of Louvain; the best is kept.", low=1)

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives Louvain's communities at a resolution."""
        graph = jaccard(nearest(x, min(self.n_neighbors, len(x))), self.prune)
        n_starts = self.n_starts
        return lambda r: merge_singletons(louvain(graph, r, seed=seed, n_starts=n_starts), graph)


def louvain(graph: sp.csr_matrix, resolution: float, *, seed: int, n_starts: int) -> np.ndarray:
    """Return Louvain communities (n,), the best of `n_starts` orders (Blondel et al. 2008)."""
    g = to_igraph(graph)
    if not g.ecount():
        return np.arange(g.vcount())
    how = {"weights": "weight", "resolution": resolution}
    with igraph_seed(seed):
        starts = [g.community_multilevel(**how) for _ in range(n_starts)]
    best = max(starts, key=lambda start: g.modularity(start.membership, **how))
    return np.asarray(best.membership, dtype=np.int64)


def merge_singletons(labels: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Return labels 0 .. K-1; a cluster of one cell joins the one it is best connected to.

    That is by mean weight. A cell without any edge stays alone.
    """
    labels = labels.copy()
    sizes = np.bincount(labels)
    kept = np.flatnonzero(sizes > 1)
    for cell in np.flatnonzero(sizes[labels] == 1):
        weights = graph[[cell]].toarray().ravel()
        strength = np.bincount(labels, weights, minlength=len(sizes))[kept] / sizes[kept]
        if strength.size and strength.max() > 0:
            labels[cell] = kept[strength.argmax()]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
