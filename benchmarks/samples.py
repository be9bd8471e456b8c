"""What batch_key does on simulated and real cells: the table of samples in docs/tutorials.md.

    JOJOSCL_DATA_ROOT=... python benchmarks/samples.py [--only baron simulated ...] [--seeds 3]

ARI with the types and iLISI (0: no neighbor is of another sample, 1: mixed) without and with
batch_key, K given. The LISI is harmonypy's.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from harmonypy.lisi import compute_lisi
from sklearn.metrics import adjusted_rand_score

import jojoscl
from jojoscl.core.samples import without_samples


def shifted(adata: AnnData, samples: np.ndarray, rng: np.random.Generator, sd: float) -> AnnData:
    """Return cells in whose samples (n,) a third of the genes are log-normally higher or lower."""
    shape = samples.max() + 1, adata.n_vars
    factor = np.exp(sd * rng.standard_normal(shape) * (rng.random(shape) < 0.3))
    x = adata.X.tocoo()
    counts = rng.poisson(x.data * factor[samples[x.row], x.col]).astype(np.float32)
    changed = AnnData(
        sp.csr_matrix((counts, (x.row, x.col)), x.shape), obs=adata.obs, var=adata.var
    )
    changed.X.eliminate_zeros()
    return changed


def sets() -> Iterator[tuple[str, AnnData, np.ndarray]]:
    """Yield name, cells and the sample (n,) of each."""
    cells = jojoscl.simulate(900, 1000, 5, library_size=3000.0, seed=3)
    samples = np.random.default_rng(0).integers(0, 3, 900)
    moved = shifted(cells, samples, np.random.default_rng(0), 0.6)
    yield "simulated, shifted", moved, samples
    types = cells.obs["cell_type"].astype(str).to_numpy()
    kept = ~((types == "type1") & (samples > 0)) & ~((types == "type2") & (samples == 0))
    yield "simulated, types not in all samples", moved[kept].copy(), samples[kept]
    cells = jojoscl.load_dataset("pbmc_10x")
    samples = np.random.default_rng(1).integers(0, 2, cells.n_obs)
    cells = shifted(cells, samples, np.random.default_rng(0), 0.6)
    seen = np.asarray(cells.X.sum(1)).ravel() > 0
    yield "pbmc_10x, a half shifted", cells[seen].copy(), samples[seen]
    cells = jojoscl.load_dataset("baron_mouse")
    yield "baron_mouse, mice", cells, np.asarray(cells.obs_names.str.contains("mouse2")).astype(int)
    yield "baron_mouse, libraries", cells, pd.factorize(cells.obs_names.str.split(".").str[0])[0]
    cells = jojoscl.load_dataset("human_brain")
    table = pd.read_csv(
        Path(os.environ["JOJOSCL_DATA_ROOT"]) / "darmanis_meta.csv.gz", sep="\t", index_col=0
    )
    donor = table.loc[cells.obs_names, "experiment_sample_name"].astype(str)
    large = (donor.map(donor.value_counts()) >= 10).to_numpy()
    yield "human_brain, samples", cells[large].copy(), pd.factorize(donor[large])[0]


def row(adata: AnnData, samples: np.ndarray, n_seeds: int) -> dict[str, float]:
    """Return ARI and iLISI without and with batch_key."""
    adata.obs["sample"] = [f"s{i}" for i in samples]
    types = adata.obs["cell_type"].astype(str).to_numpy()
    found = {}
    for key in (None, "sample"):
        scores = []
        for seed in range(n_seeds):
            model = jojoscl.JojoSCL().fit(adata, len(set(types)), seed=seed, batch_key=key)
            scores.append(adjusted_rand_score(types, model.labels_))
        h = model.embedding if key is None else without_samples(model.embedding, samples, seed=seed)
        labels = pd.DataFrame({"sample": samples.astype(str)})
        lisi = compute_lisi(
            h.astype(float), labels, ["sample"], perplexity=min(30, len(samples) // 10)
        ).mean()
        name = "without" if key is None else "with"
        found |= {
            f"ARI {name}": np.mean(scores),
            f"iLISI {name}": (lisi - 1) / (len(set(samples)) - 1),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name, adata, samples in sets():
        if any(word in name for word in arguments.only):
            numbers = row(adata, samples, arguments.seeds).items()
            print(name, ", ".join(f"{key} {value:.3f}" for key, value in numbers), flush=True)


if __name__ == "__main__":
    main()
