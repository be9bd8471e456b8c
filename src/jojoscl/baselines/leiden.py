"""Leiden as scanpy runs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scanpy as sc
from anndata import AnnData

from jojoscl.baselines.components import ClusterAt, OnGraph, neighbor_graph
from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.utils.settings import setting


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
