"""A million cells in a process of their own: peak memory, seconds by stage, is time linear?

    python benchmarks/million.py [--cells 1000000] [--against 100000] [--json FILE]

Simulated cells of 2,000 genes and 12 types are written to an h5ad in bands, then `jojoscl.cluster`
is called on the backed file: preprocessing to a store, embedding, clusters. The same is done with a
tenth of the cells. The ratio is that of seconds per cell; that of processor seconds does not depend
on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import sparse_dataset, write_elem
from common import answer, parser, write_json
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.runner.machine import machine, peak_memory_mb

N_GENES, N_TYPES, BAND = 2000, 12, 10_000


def write_cells(path: Path, n_cells: int) -> None:
    """An h5ad of simulated cells, their types in obs; never more than a band of them in memory."""
    sizes = {"n_cells": N_TYPES, "n_genes": N_GENES, "n_types": N_TYPES}
    settings = SimulatedDataset(**sizes, library_size=170.0, dispersion=0.0, dropout=0.0)
    profiles = settings.load().uns["simulated"]["profiles"]
    rng = np.random.default_rng(0)
    types = rng.choice(N_TYPES, n_cells, p=rng.dirichlet(np.full(N_TYPES, 5.0)))
    library = settings.library_size * np.exp(settings.library_sd * rng.standard_normal(n_cells))
    obs = pd.DataFrame({"type": types.astype(str)}, index=[f"cell{i}" for i in range(n_cells)])
    ad.AnnData(obs=obs, shape=(n_cells, N_GENES)).write_h5ad(path)
    with h5py.File(path, "a") as file:
        # Chunks of a size of their own: HDF5 chooses 4 KB for an empty matrix, and its index of
        # them all takes 4 GB.
        none = sp.csr_matrix((0, N_GENES), dtype=np.float32)
        write_elem(file, "X", none, dataset_kwargs={"chunks": (1 << 18,)})
        x = sparse_dataset(file["X"])
        for start in range(0, n_cells, BAND):
            rows = slice(start, start + BAND)
            x.append(settings.draw(rng, types[rows], library[rows], profiles))


def measure(path: Path) -> dict[str, Any]:
    """Cluster the cells of the file; to be called in a process of its own."""
    adata = ad.read_h5ad(path, backed="r")
    begin, started, processor = peak_memory_mb(), time.perf_counter(), time.process_time()
    jojoscl.cluster(adata, N_TYPES)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    stages = adata.uns["jojoscl"]["seconds"]
    return {
        "cells": adata.n_obs,
        "seconds": seconds,
        "processor_seconds": processor,
        **{f"seconds_{name}": value for name, value in stages.items()},
        "seconds_other": seconds - sum(stages.values()),
        "peak_memory_mb": peak_memory_mb(),
        "peak_memory_at_start_mb": begin,
        "ari": adjusted_rand_score(adata.obs["type"], adata.obs["jojoscl"]),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--cells", type=int, default=1_000_000)
    options.add_argument("--against", type=int, default=100_000)
    options.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    found = []
    for n_cells in (arguments.against, arguments.cells):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cells.h5ad"
            write_cells(path, n_cells)
            found.append(answer(__file__, "--measure", path))
        print(", ".join(f"{name} {value:,.6g}" for name, value in found[-1].items()), flush=True)
    few, many = found
    ratio, of_processor = (
        many[name] / many["cells"] / (few[name] / few["cells"])
        for name in ("seconds", "processor_seconds")
    )
    print(f"ratio of seconds per cell {ratio:.2f}, of processor seconds {of_processor:.2f}")
    ratios = {"ratio": ratio, "processor_ratio": of_processor}
    write_json(arguments.json, {"machine": machine(), **many, **ratios, "against": few})


if __name__ == "__main__":
    main()
