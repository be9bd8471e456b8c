"""Methods of other packages: pip install 'jojoscl[rivals]'."""

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from anndata import AnnData

from jojoscl.baselines.graph import ClusterAt, Leiden, OnGraph
from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.utils.errors import check_installed
from jojoscl.utils.settings import setting


@dataclass(kw_only=True)
class PhenoGraph(OnGraph, name="phenograph", n_neighbors=30):
    """PhenoGraph, with Leiden in place of Louvain (Levine et al., Cell 2015).

    Cells of communities below ten cells, which it calls outliers, are one cluster.
    """

    def communities(self, x: np.ndarray, *, seed: int) -> ClusterAt:
        """Return what gives PhenoGraph's communities at a resolution."""
        check_installed("This method", "phenograph", "rivals")
        from phenograph.cluster import cluster, run_leiden, sort_by_size

        k = min(self.n_neighbors, len(x) - 1)
        with contextlib.redirect_stdout(io.StringIO()):
            graph = cluster(x, "leiden", k, n_jobs=1, seed=seed)[1]

        def cluster_at(resolution: float) -> np.ndarray:
            with contextlib.redirect_stdout(io.StringIO()):
                found, _ = run_leiden(graph, False, None, resolution, -1, seed, True, {})
            labels = sort_by_size(found, min_size=10)
            return np.unique(labels, return_inverse=True)[1].astype(np.int64)

        return cluster_at


@dataclass(kw_only=True)
class ScVI(
    Leiden,
    name="scvi_leiden",
    preprocess=Preprocess(min_cells=3, round_counts=True, hvg_flavor="seurat_v3"),
):
    """Leiden on the latent space of scVI (Lopez et al., Nat Methods 2018), by its defaults."""

    n_latent: int = setting(10, "Dimensions of the latent space.", low=1)
    epochs: int | None = setting(None, "Epochs; None takes as many as scVI advises.", low=1)

    def components(self, cells: Expression, *, seed: int) -> np.ndarray:
        """Train scVI on the counts of the chosen genes; return the latent space (n, d)."""
        check_installed("This method", "scvi", "rivals")
        import scvi

        scvi.settings.seed = seed
        adata = AnnData(cells.counts())
        scvi.model.SCVI.setup_anndata(adata)
        model = scvi.model.SCVI(adata, n_latent=self.n_latent)
        model.train(self.epochs, accelerator="cpu", devices=1, enable_progress_bar=False)
        return np.asarray(model.get_latent_representation(), np.float32)
