"""ScCCL: two views, a momentum encoder, instance and cluster heads.

Du et al., IEEE/ACM TCBB 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

from jojoscl.networks.paper import PaperJojoSCL


@dataclass(kw_only=True)
class ScCCL(
    PaperJojoSCL,
    name="sccl",
    encoder_dims=[200, 40, 60],
    instance_dims=[100, 100],
    cluster_dims=[40],
    lambda_=0.0,
    cluster_similarity="dot",
    entropy="released",
    sure="none",
    temporal_labels="batch",
    assign_on="z",
    kmeans_starts=1,
    batch_size=200,
    lr=0.2,
    lr_period=500,
):
    """ScCCL: JojoSCL's released code without SURE, with layers of other widths."""

    estimates_k = False
