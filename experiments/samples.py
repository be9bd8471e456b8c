"""What batch_key does on simulated and real cells: the table of samples in docs/tutorials.md.

    python -m experiments samples --measure

measures the cells that results/samples.csv lacks and writes samples.md beside it; without --measure
the page only. ARI is that with the types, K given. iLISI, harmonypy's, is 0 where no neighbor is of
another sample and 1 where samples are mixed. Means over seeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import jojoscl
from experiments.measured import grid_of, resumed
from experiments.text import Shown, columns, markdown, number, two, write
from jojoscl.core.positives import without_samples
from jojoscl.runner.machine import git_commit

WHAT = "measure what the table lacks; needs harmonypy"
OPTIONS = {"--measure": {"action": "store_true", "dest": "measure_all", "help": WHAT}}
SEEDS = 3
Cells = tuple[AnnData, np.ndarray]  # with the sample (n,) of each


def shifted(adata: AnnData, samples: np.ndarray, rng: np.random.Generator, sd: float) -> AnnData:
    """Return cells in whose samples (n,) a third of the genes are log-normally higher or lower."""
    shape = samples.max() + 1, adata.n_vars
    factor = np.exp(sd * rng.standard_normal(shape) * (rng.random(shape) < 0.3))
    x = adata.X.tocoo()
    counts = rng.poisson(x.data * factor[samples[x.row], x.col]).astype(np.float32)
    moved = sp.csr_matrix((counts, (x.row, x.col)), x.shape)
    moved.eliminate_zeros()
    return AnnData(moved, obs=adata.obs, var=adata.var)


def simulated(*, everywhere: bool) -> Cells:
    """Return 900 cells of 3 samples and 5 types; without `everywhere` two types lack samples."""
    cells = jojoscl.simulate(900, 1000, 5, library_size=3000.0, seed=3)
    samples = np.random.default_rng(0).integers(0, 3, 900)
    moved = shifted(cells, samples, np.random.default_rng(0), 0.6)
    if everywhere:
        return moved, samples
    types = cells.obs["cell_type"].astype(str).to_numpy()
    kept = ~((types == "type1") & (samples > 0)) & ~((types == "type2") & (samples == 0))
    return moved[kept].copy(), samples[kept]


def pbmc() -> Cells:
    """Return 10X PBMC, a random half with shifted genes."""
    cells = jojoscl.load_dataset("pbmc_10x")
    samples = np.random.default_rng(1).integers(0, 2, cells.n_obs)
    cells = shifted(cells, samples, np.random.default_rng(0), 0.6)
    seen = np.asarray(cells.X.sum(1)).ravel() > 0
    return cells[seen].copy(), samples[seen]


def mouse(*, library: bool) -> Cells:
    """Return Baron mouse by animal, or by library."""
    cells = jojoscl.load_dataset("baron_mouse")
    if library:
        return cells, pd.factorize(cells.obs_names.str.split(".").str[0])[0]
    return cells, np.asarray(cells.obs_names.str.contains("mouse2")).astype(int)


def brain() -> Cells:
    """Return the cells of human brain whose sample has ten cells or more."""
    cells = jojoscl.load_dataset("human_brain")
    path = Path(os.environ["JOJOSCL_DATA_ROOT"]) / "darmanis_meta.csv.gz"
    table = pd.read_csv(path, sep="\t", index_col=0)
    sample = table.loc[cells.obs_names, "experiment_sample_name"].astype(str)
    large = (sample.map(sample.value_counts()) >= 10).to_numpy()
    return cells[large].copy(), pd.factorize(sample[large])[0]


CELLS: dict[str, Callable[[], Cells]] = {
    "900 simulated, 5 types, genes shifted by sample": lambda: simulated(everywhere=True),
    "483 of them, 2 types not in all samples": lambda: simulated(everywhere=False),
    "`pbmc_10x`, a random half with shifted genes": pbmc,
    "`baron_mouse`, by mouse": lambda: mouse(library=False),
    "`baron_mouse`, by library": lambda: mouse(library=True),
    "`human_brain`, by sample (411 cells)": brain,
}


def measure(cells: str) -> pd.DataFrame:
    """Return ARI and iLISI without and with batch_key."""
    from harmonypy.lisi import compute_lisi

    adata, samples = CELLS[cells]()
    n_samples = len(set(samples))
    adata.obs["sample"] = [f"s{i}" for i in samples]
    types = adata.obs["cell_type"].astype(str).to_numpy()
    labels = pd.DataFrame({"sample": samples.astype(str)})
    row: dict[str, float] = {"n_samples": n_samples}
    for key, name in ((None, ""), ("sample", "_batch")):
        scores = []
        for seed in range(SEEDS):
            model = jojoscl.JojoSCL().fit(adata, len(set(types)), seed=seed, batch_key=key)
            scores.append(adjusted_rand_score(types, model.labels_))
        h = model.positions  # of all cells in their order, before Harmony
        if key is not None:
            h = without_samples(h, samples, seed=seed)
        perplexity = min(30, len(samples) // 10)
        lisi = compute_lisi(h.astype(float), labels, ["sample"], perplexity=perplexity).mean()
        row |= {f"ari{name}": np.mean(scores), f"ilisi{name}": (lisi - 1) / (n_samples - 1)}
    return pd.DataFrame([row]).round(4).assign(git_commit=git_commit())


SHOWN: Shown = {
    "cells": ("Cells", str),
    "n_samples": ("Samples", "{:.0f}".format),
    "ari": ("ARI", number),
    "ari_batch": ("ARI, `batch_key`", number),
    "ilisi": ("iLISI", two),
    "ilisi_batch": ("iLISI, `batch_key`", two),
}


def make(results: Path, figures: Path, measure_all: bool = False) -> None:
    """Measure what the table lacks, and write its page."""
    source = results / "samples.csv"
    table = resumed(source, grid_of(cells=CELLS) if measure_all else (), measure)
    write(source.with_suffix(".md"), markdown(columns(table, SHOWN)))
