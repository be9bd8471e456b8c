"""Time of an epoch of JojoSCL's training loop against the bare matrix products of that epoch.

The loop is what `method=jojoscl_released` runs, with a SURE term that has a value
(`sure=two_view`): batches, two views, both encoders and heads, all losses, backward, Adam, momentum
update and logging, under Lightning. The bare products are the encoder's alone, by torch's `@`:
query forward and backward, key forward. They alternate by epoch, so both see the same state of the
machine. Renewing the temporal clusters, once an epoch, is a pass over all cells and K-means: it is
timed apart and printed beside.

    python benchmarks/train_step.py [--epochs 30] [--threads 2] [--json FILE]

10X PBMC is used where JOJOSCL_DATA_ROOT has it, random numbers of its size elsewhere: the time does
not depend on the values.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import statistics
import time

import lightning as L
import numpy as np
import torch
from common import parser, write_json

from jojoscl.datasets.load import load_dataset
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper import PaperModule
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.runner.config import build, compose


class Clock(L.Callback):
    """When the epoch began."""

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.started = time.perf_counter()


class BareProducts(L.Callback):
    """After each epoch, do and time the epoch's bare matrix products."""

    def __init__(self, dims: list[int], batches: list[int], epoch: Clock) -> None:
        self.epoch = epoch
        self.shapes = [
            (b, n_in, n_out) for b in batches for n_in, n_out in itertools.pairwise(dims)
        ]
        largest = max(batches)
        self.x = {n: torch.randn(largest, n) for n in dims}
        self.w = {(i, o): torch.randn(o, i) for i, o in itertools.pairwise(dims)}
        self.first = dims[0]
        self.clusters: list[float] = []
        self.loop: list[float] = []
        self.bare: list[float] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        if batch_idx == 0:  # the module has renewed the temporal clusters since the epoch began
            self.started = time.perf_counter()
            self.clusters.append(self.started - self.epoch.started)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.loop.append(time.perf_counter() - self.started)
        self.bare.append(self.products())

    @torch.no_grad()
    def products(self) -> float:
        """Return the seconds of the epoch's products."""
        started = time.perf_counter()
        for b, n_in, n_out in self.shapes:
            x, w, gradient = self.x[n_in][:b], self.w[n_in, n_out], self.x[n_out][:b]
            x @ w.T  # query forward
            x @ w.T  # key forward
            gradient.T @ x  # gradient of the weights
            if n_in != self.first:
                gradient @ w  # gradient of the layer's input
        return time.perf_counter() - started


RELEASED = build(compose(["method=jojoscl_released"]).method)


def cells() -> np.ndarray:
    """10X PBMC preprocessed as released, or random numbers of its size."""
    if "JOJOSCL_DATA_ROOT" not in os.environ:
        return np.random.default_rng(0).standard_normal((4271, 2000), dtype=np.float32)
    adata = load_dataset("pbmc_10x")
    return np.asarray(RELEASED.preprocess(adata).zscores())


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--threads", type=int, default=2)
    arguments = options.parse_args()

    x = cells()
    method = dataclasses.replace(RELEASED, sure="two_view", temporal_labels="epoch")
    data = CellDataModule(x, batch_size=method.batch_size, seed=0)
    sizes = {"n_genes": x.shape[1], "n_clusters": 8, "n_cells": len(x)}
    module = PaperModule(method, **sizes, seed=0, max_epochs=arguments.epochs)
    batches = [len(index) for _, index in data.train_dataloader()]
    epoch = Clock()
    timer = BareProducts([x.shape[1], *method.encoder_dims], batches, epoch)
    how = {"threads": arguments.threads}
    run = Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False, **how))
    fit(module, data, run, max_epochs=arguments.epochs, callbacks=[epoch, timer])

    times = {"loop_s": timer.loop, "bare_s": timer.bare, "clusters_s": timer.clusters}
    seconds = {name: statistics.median(values[2:]) for name, values in times.items()}
    ratio = seconds["loop_s"] / seconds["bare_s"]
    print("an epoch: " + ", ".join(f"{name} {value:.3f}" for name, value in seconds.items()))
    both = ratio + seconds["clusters_s"] / seconds["bare_s"]
    print(f"ratio {ratio:.2f}, with temporal clusters {both:.2f}")
    write_json(arguments.json, seconds | {"ratio": ratio} | how)


if __name__ == "__main__":
    main()
