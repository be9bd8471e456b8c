"""Time, memory and agreement against what a user would pick instead: scanpy's PCA + Leiden, and scVI + Leiden.

    python benchmarks/against.py [--cells 5000 50000 200000] [--scvi-epochs N] [--json FILE]

Simulated cells x 2,000 genes of 12 types in one h5ad a size; each method reads it in a process of its own and ends with
labels, with nobody telling K. scVI (scvi-tools) is skipped where it is not installed; it trains for its own number of
epochs, or `--scvi-epochs`, which the table then says.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.data.simulate import simulate
from jojoscl.utils.files import whole_file


def by_jojoscl(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    jojoscl.cluster(cells, seed=0)
    return np.asarray(cells.obs["jojoscl"])


def by_scanpy(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    sc.pp.normalize_total(cells)
    sc.pp.log1p(cells)
    sc.pp.highly_variable_genes(cells, n_top_genes=min(2000, cells.n_vars - 1))
    sc.pp.pca(cells)
    return leiden(cells, "X_pca")


def by_scvi(cells: ad.AnnData, arguments: argparse.Namespace) -> np.ndarray:
    import scvi

    scvi.settings.seed = 0
    scvi.model.SCVI.setup_anndata(cells)
    model = scvi.model.SCVI(cells)
    model.train(max_epochs=arguments.scvi_epochs, accelerator="auto", enable_progress_bar=False)
    cells.obsm["X_scvi"] = model.get_latent_representation()
    return leiden(cells, "X_scvi")


def leiden(cells: ad.AnnData, representation: str) -> np.ndarray:
    sc.pp.neighbors(cells, use_rep=representation)
    sc.tl.leiden(cells, flavor="igraph", n_iterations=2, directed=False)
    return np.asarray(cells.obs["leiden"])


METHODS = {"jojoscl": by_jojoscl, "scanpy": by_scanpy, "scvi": by_scvi}


def one(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the process of one method and file prints."""
    warnings.simplefilter("ignore")
    started, processor = time.perf_counter(), time.process_time()
    cells = ad.read_h5ad(arguments.path)
    truth = np.asarray(cells.obs.pop("cell_type"))
    labels = METHODS[arguments.one](cells, arguments)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "method": arguments.one,
        "n_cells": len(labels),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "peak_gb": round(peak / 1e9, 2),
        "n_clusters": len(np.unique(labels)),
        "ari": round(float(adjusted_rand_score(truth, labels)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[5_000, 50_000, 200_000])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--scvi-epochs", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments)))
        return

    methods = list(arguments.methods)
    if "scvi" in methods and find_spec("scvi") is None:
        print("scVI is skipped: scvi-tools is not installed")
        methods.remove("scvi")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_cells in arguments.cells:
            path = Path(folder) / f"{n_cells}.h5ad"
            simulate(n_cells, 2000, 12, library_size=300).write_h5ad(path)
            for method in methods:
                command = [sys.executable, __file__, "--one", method, "--path", str(path)]
                if arguments.scvi_epochs:
                    command += ["--scvi-epochs", str(arguments.scvi_epochs)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
            path.unlink()
    table = pd.DataFrame(rows)
    fastest = table[table["method"] == "scanpy"].set_index("n_cells")["seconds"]
    table["seconds / scanpy"] = (table["seconds"] / table["n_cells"].map(fastest)).round(2)
    print(table.to_string(index=False))
    if arguments.scvi_epochs:
        print(f"scVI was trained for {arguments.scvi_epochs} epochs only")
    if arguments.json:
        with whole_file(arguments.json) as path:
            path.write_text(json.dumps({"scvi_epochs": arguments.scvi_epochs, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
