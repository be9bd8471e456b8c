"""What JojoSCL, as published and as released, can be set to."""

from __future__ import annotations

from dataclasses import dataclass

from jojoscl.cells.preprocess import Preprocess
from jojoscl.networks.method import NetworkMethod
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import setting

_SURE, _ENTROPY = ("none", "released", "centroid", "two_view"), ("true_axis", "released")
_WHEN, _ON = ("epoch", "batch"), ("h", "z", "cluster_head")


@dataclass(kw_only=True)
class PaperSettings(NetworkMethod):
    """The networks, their views, losses and training."""

    name: str = setting("jojoscl_paper", "What the results call it.")
    preprocess: Preprocess = setting(Preprocess(), "From counts to what the networks see.")
    encoder_dims: list[int] = setting([512, 256, 128], "Widths of the encoder, h the last.", low=1)
    instance_dims: list[int] = setting([192, 192], "Instance head's widths, z the last.", low=1)
    cluster_dims: list[int] = setting([64], "Hidden widths of the cluster head.", low=1)
    mask_rate: float = setting(0.9, "Share of the genes that a view masks.", low=0, high=0.999)
    noise_sd: float = setting(0.1, "Standard deviation of the noise of a view.", low=0)
    momentum: float = setting(0.5, "Share of its weights that the key keeps.", low=0, high=1)
    alpha: float = setting(1.0, "Weight of the instance loss.", low=0)
    beta: float = setting(1.0, "Weight of the cluster loss.", low=0)
    lambda_: float = setting(10.0, "Weight of SURE, for each coordinate of h.", low=0)
    temperature: float = setting(0.07, "Temperature of the instance loss.", low=1e-3)
    cluster_temperature: float = setting(0.07, "Temperature of the cluster loss.", low=1e-3)
    cluster_similarity: str = setting("cosine", "Of two soft clusters.", values=("cosine", "dot"))
    entropy: str = setting("true_axis", "Entropy term; 'released' is zero.", values=_ENTROPY)
    sure: str = setting("two_view", "Form of the shrinkage term; 'released' is zero.", values=_SURE)
    temporal_labels: str = setting("epoch", "When SURE's clusters are renewed.", values=_WHEN)
    assign_on: str = setting("h", "What makes the clusters, temporal and final.", values=_ON)
    kmeans_starts: int = setting(10, "Starts of the final K-means; the best is kept.", low=1)
    epochs: int = setting(200, "Epochs of the training.", low=1)
    batch_size: int = setting(256, "Cells in a batch, of all devices together.", low=2)
    lr: float = setting(0.01, "Learning rate of Adam at the start.", low=0)
    lr_period: int | None = setting(None, "Half period of its cosine; None: all epochs.", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.encoder_dims or not self.instance_dims:
            raise UserError("encoder_dims and instance_dims need one or more numbers, widths.")
