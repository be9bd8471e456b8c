"""ScCCL: two views, a momentum encoder, instance and cluster heads (Du et al., IEEE/ACM TCBB 2023)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from anndata import AnnData

from jojoscl.data.preprocess import Preprocess
from jojoscl.methods.base import Result, check_n_clusters, isolated_and_timed
from jojoscl.methods.paper.method import PaperJojoSCL
from jojoscl.runner.config import from_preset
from jojoscl.training.settings import Oracle, Run
from jojoscl.utils.settings import Settings, between


@dataclass(kw_only=True)
class ScCCL(Settings):
    """What JojoSCL's released code becomes without SURE and with other widths: its module trains both."""

    name: str
    preprocess: Preprocess
    encoder_dims: list[int]
    instance_dims: list[int]
    cluster_dims: list[int]
    mask_rate: float = between(0, 0.999)
    noise_sd: float = between(0)
    momentum: float = between(0, 1)
    temperature: float = between(1e-3)
    epochs: int = between(1)
    batch_size: int = between(2)
    lr: float = between(0)
    lr_period: int | None = between(1)

    takes_oracle = True

    @isolated_and_timed
    def fit_predict(
        self,
        adata: AnnData,
        n_clusters: int | None,
        *,
        seed: int = 0,
        run: Run | None = None,
        oracle: Oracle | None = None,
    ) -> Result:
        """Cluster the cells of `adata` (see :class:`~jojoscl.methods.base.Method`)."""
        check_n_clusters(n_clusters, adata.n_obs)
        return self.without_sure().fit_predict(adata, n_clusters, seed=seed, run=run, oracle=oracle)

    def without_sure(self) -> PaperJojoSCL:
        """The released preset of JojoSCL with these settings and no SURE."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(from_preset("released"), **own, cluster_temperature=self.temperature, sure="none")
