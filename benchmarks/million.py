"""A million cells end to end, in a process of its own: peak memory, seconds by stage, and whether time is linear.

    python benchmarks/million.py [--cells 1000000] [--against 100000] [--json FILE]

Simulated cells of 2,000 genes and 12 types are written to an h5ad in bands, then `jojoscl.cluster`
is called on the backed file: preprocessing to a store, embedding, clusters. The same is done with a
tenth of the cells. The ratio is that of seconds per cell; that of processor seconds does not depend
on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
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
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.runner.machine import machine, peak_memory_mb
from jojoscl.utils.files import whole_file

N_GENES, N_TYPES, BAND = 2000, 12, 10_000


def write_cells(path: Path, n_cells: int) -> None:
    """An h5ad of simulated cells, their types in obs; never more than a band of them in memory."""
    settings = SimulatedDataset(
        n_cells=N_TYPES,
        n_genes=N_GENES,
        n_types=N_TYPES,
        library_size=170.0,
        dispersion=0.0,
        dropout=0.0,
    )
    profiles = settings.load().uns["simulated"]["profiles"]
    rng = np.random.default_rng(0)
    types = rng.choice(N_TYPES, n_cells, p=rng.dirichlet(np.full(N_TYPES, 5.0)))
    library = settings.library_size * np.exp(settings.library_sd * rng.standard_normal(n_cells))
    obs = pd.DataFrame({"type": types.astype(str)}, index=[f"cell{i}" for i in range(n_cells)])
    ad.AnnData(obs=obs, shape=(n_cells, N_GENES)).write_h5ad(path)
    with h5py.File(path, "a") as file:
        # Chunks of a size of their own: HDF5 chooses 4 KB for an empty matrix, and its index of
        # them all takes 4 GB.
        write_elem(
            file,
            "X",
            sp.csr_matrix((0, N_GENES), dtype=np.float32),
            dataset_kwargs={"chunks": (1 << 18,)},
        )
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    found = []
    for n_cells in (arguments.against, arguments.cells):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cells.h5ad"
            write_cells(path, n_cells)
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        print(", ".join(f"{name} {value:,.6g}" for name, value in found[-1].items()), flush=True)
    few, many = found
    ratio, of_processor = (
        many[name] / many["cells"] / (few[name] / few["cells"])
        for name in ("seconds", "processor_seconds")
    )
    print(f"ratio of seconds per cell {ratio:.2f}, of processor seconds {of_processor:.2f}")
    if arguments.json:
        with whole_file(arguments.json) as path:
            path.write_text(
                json.dumps(
                    {"machine": machine()}
                    | many
                    | {"ratio": ratio, "processor_ratio": of_processor, "against": few}
                )
                + "\n"
            )


if __name__ == "__main__":
    main()
