"""How fast shuffled batches of cells are gathered from a store on disk, and from the dense matrix in memory.

    python benchmarks/loader.py [--cells 200000] [--batch-size 4096] [--json FILE]

Simulated cells of 2,000 genes, about 150 of them seen in a cell. Gathered is what the loader does
in the main process; dense is what on_after_batch_transfer adds, on a GPU where there is one. The
files are in the system's page cache.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from jojoscl.cells.preprocess import Preprocess, stored
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.datamodule import CellDataModule, dense
from jojoscl.utils.devices import sent
from jojoscl.utils.files import whole_file


def cells_per_second(data: CellDataModule, *, densify: bool, device: str) -> float:
    """The faster of two epochs."""
    best = 0.0
    for epoch in range(2):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        started = time.perf_counter()
        for rows, *_ in loader:
            if densify:
                dense(sent(rows, device))
        best = max(best, len(data.cells) / (time.perf_counter() - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    adata = simulate(arguments.cells, 2000, 10, library_size=170.0, dispersion=0.0, dropout=0.0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        store = stored(Preprocess(max_value=10.0), adata, Path(folder))
        seen = len(store.values) / len(store)
        del adata
        rates = {}
        for name, x in (("store", store), ("memory", store[:])):
            data = CellDataModule(x, batch_size=arguments.batch_size)
            rates[name] = cells_per_second(data, densify=False, device=device)
            if name == "store":
                rates["store_dense"] = cells_per_second(data, densify=True, device=device)
    rates |= {
        "ratio": rates["store"] / rates["memory"],
        "values_per_cell": seen,
        "threads": torch.get_num_threads(),
    }
    print(f"{store.shape[0]} cells of {store.shape[1]} genes, {seen:.0f} values each, on {device}")
    for name, what in (
        ("store", "from the store"),
        ("store_dense", "and made dense"),
        ("memory", "from memory"),
    ):
        print(f"{what}: {rates[name]:,.0f} cells/s")
    print(f"ratio {rates['ratio']:.2f}")
    if arguments.json:
        with whole_file(arguments.json) as path:
            path.write_text(json.dumps(rates) + "\n")


if __name__ == "__main__":
    main()
