"""Seconds an epoch of the default method's training takes on a GPU, against the floor of bytes and operations.

    python benchmarks/gpu.py [--cells 1000000] [--batch-size 4096] [--precision bf16-mixed] [--compile] [--json FILE]

Simulated cells of 2,000 genes in a store, which the GPU holds whole where it has room. The floor is what one step must
move and multiply, at the bandwidth and the throughput that this card shows in a copy and in a product of its own. Where
there is no GPU it says so and does nothing; `--accelerator cpu --cells 20000` runs the same on a CPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import lightning as L
import torch
from million import N_GENES, N_TYPES, write_cells

from jojoscl.data.cells import as_cells
from jojoscl.data.preprocess import stored
from jojoscl.data.store import Store, centred
from jojoscl.runner.config import compose
from jojoscl.runner.registry import build
from jojoscl.training.datamodule import CellDataModule
from jojoscl.training.fit import fit
from jojoscl.training.settings import Run, TrainerSettings
from jojoscl.utils.files import whole_file

DEFAULT = build(compose(["method=jojoscl"]).method)


class EpochSeconds(L.Callback):
    """How long each epoch's steps took, the device waited for at both ends; and whether the device held the cells."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        synchronise(module.device)
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        synchronise(module.device)
        self.seconds.append(time.perf_counter() - self.started)
        self.resident = trainer.datamodule.cells.x.values.device == module.device  # type: ignore[attr-defined]


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def train(store: Store, arguments: argparse.Namespace) -> EpochSeconds:
    """Epochs of one network of the default method."""
    method = dataclasses.replace(DEFAULT, batch_size=arguments.batch_size)
    x = centred(store)
    _, loadings, scores = method.start(x, seed=0)
    L.seed_everything(0, verbose=False)
    data = CellDataModule(x, scores, batch_size=method.batch_size, seed=0)
    module = method.module(loadings, scores, N_TYPES, seed=0, epochs=arguments.epochs)
    clock = EpochSeconds()
    settings = TrainerSettings(
        accelerator=arguments.accelerator,
        precision=arguments.precision,
        compile=arguments.compile,
        progress_bar=False,
    )
    fit(module, data, Run(trainer=settings), max_epochs=arguments.epochs, callbacks=[clock])
    return clock


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Of one call, the median of ten after two that do not count."""
    found = []
    for _ in range(12):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        found.append(time.perf_counter() - started)
    return statistics.median(found[2:])


def floor(store: Store, arguments: argparse.Namespace) -> float:
    """Seconds of an epoch if only what must be moved and multiplied took time."""
    device = torch.device("cuda" if arguments.accelerator == "gpu" else "cpu")
    kind = torch.bfloat16 if "bf16" in arguments.precision else torch.float32
    method, b = DEFAULT, arguments.batch_size
    width, entries = method.n_dims + method.hidden, len(store.values) / len(store)
    # Cells and positives come as CSR and are made dense; each of three views is read, written, and read by two layers.
    moved = 2 * b * (6 * entries + 4 * N_GENES) + 3 * b * N_GENES * (4 + 4 + 2 * 4)
    products = 2 * b * N_GENES * width * (3 + 2)  # three views forward, gradients of the weights for the query's two
    products += 2 * (2 * b) ** 2 * method.instance_dims[-1] * 3  # the contrast's similarities, and its gradient
    source = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    copied = torch.empty_like(source)
    bandwidth = 2 * source.numel() / seconds_of(lambda: copied.copy_(source), device)
    square = torch.randn(4096, 4096, device=device, dtype=kind)
    throughput = 2 * 4096**3 / seconds_of(lambda: square @ square, device)
    steps = -(-len(store) // b)
    print(f"{bandwidth / 1e9:,.0f} GB/s, {throughput / 1e12:,.1f} TFLOP/s")
    return steps * (moved / bandwidth + products / throughput)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--accelerator", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.accelerator == "gpu" and not torch.cuda.is_available():
        print("There is no GPU here: nothing is measured.")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        write_cells(path, arguments.cells)
        cells = as_cells(ad.read_h5ad(path, backed="r"))
        store = stored(DEFAULT.preprocess, cells, Path(folder))
        clock = train(store, arguments)
        least = floor(store, arguments)
    first, *others = clock.seconds
    epoch = statistics.median(others)
    device = torch.cuda.get_device_name() if arguments.accelerator == "gpu" else "CPU"
    print(f"{device}, {arguments.cells} cells, batches of {arguments.batch_size}, {arguments.precision}")
    print(f"cells {'on the device' if clock.resident else 'gathered by the CPU'}")
    print(f"an epoch {epoch:.2f} s (the first {first:.2f}), floor {least:.3f} s, ratio {epoch / least:.1f}")
    if arguments.json:
        told = {"device": device, "epoch_s": epoch, "first_s": first, "floor_s": least, "resident": clock.resident}
        told |= {key: getattr(arguments, key) for key in ("cells", "batch_size", "precision", "compile")}
        with whole_file(arguments.json) as path:
            path.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
