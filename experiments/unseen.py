"""Does `predict` notice a type that the fit never saw? The table of docs/new_cells.md.

    python -m experiments unseen --folder DIR    # labelled h5ad files of DIR, else sets of the catalogue

Each of the up to six largest types of ten sets is left out of a fit, with a fifth of the other cells;
the model predicts both. It measures what results/unseen.csv lacks and writes unseen.md.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.metrics import roc_auc_score

import jojoscl
from experiments.measured import grid_of, resumed
from experiments.tables import Section, number, page
from experiments.text import write
from jojoscl.cells.checks import as_cells
from jojoscl.runner.machine import git_commit

OPTIONS = {"--folder": {"type": Path, "default": None, "help": "labelled h5ad files"}}
SETS = (
    "human_brain", "hashing_4lines", "pollen", "zeisel_550", "mix_rna_celseq2", "baron_mouse",
    "joost_epidermis", "tasic_gaba", "camp_fetal_cortex", "zilionis_mouse_lung",
)  # fmt: skip
KINDS = {"tasic_gaba": "rpkm"}
FEWEST, MOST_TYPES, MOST_CELLS, CALLED = 10, 6, 3000, 0.95


def of_type(cells: AnnData, types: np.ndarray, left_out: str, kind: str) -> dict[str, float]:
    """Return how well confidence and novelty tell the cells of a type from held-out ones of others."""
    rng = np.random.default_rng(0)
    strange = types == left_out
    new = strange | (rng.random(len(types)) < 0.2)
    k = len(set(types[~new]))
    found = jojoscl.JojoSCL().fit(cells[~new].copy(), k, kind=kind)
    obs = found.predict(cells[new].copy(), kind=kind, max_missing=1).obs
    strange, novelty = strange[new], obs["novelty"]
    return {
        "auroc_confidence": roc_auc_score(strange, -obs["confidence"]),
        "auroc_novelty": roc_auc_score(strange, novelty),
        "called_left_out": np.mean(novelty[strange] > CALLED),
        "called_others": np.mean(novelty[~strange] > CALLED),
    }


def measure(folder: Path | None, data: str) -> pd.DataFrame:
    """Return the row of one set, means over its types."""
    path = folder / f"{data}.h5ad" if folder else None
    known = path is not None and path.exists()
    adata = anndata.read_h5ad(path) if known else jojoscl.load_dataset(data)
    if adata.n_obs > MOST_CELLS:
        adata = adata[np.random.default_rng(0).permutation(adata.n_obs)[:MOST_CELLS]].copy()
    kind = KINDS.get(data, "auto")
    cells = as_cells(adata, label_key="cell_type", kind=kind)
    types = cells.obs["cell_type"].astype(str).to_numpy()
    sizes = pd.Series(types).value_counts()
    logging.disable(logging.WARNING)  # how many genes are missing
    rows = [of_type(cells, types, name, kind) for name in sizes.index[sizes >= FEWEST][:MOST_TYPES]]
    logging.disable(logging.NOTSET)
    means = pd.DataFrame([pd.DataFrame(rows).mean()]).round(4)
    means.insert(0, "n_types", len(rows))
    return means.assign(git_commit=git_commit())


def make(results: Path, figures: Path, folder: Path | None = None) -> None:
    """Measure what the table lacks, and write its page."""
    source = results / "unseen.csv"
    table = resumed(source, grid_of(data=SETS), partial(measure, folder))
    means = table.select_dtypes("float").mean()
    table = pd.concat([table, pd.DataFrame([{"data": "mean", **means}])], ignore_index=True)
    shown = pd.DataFrame(
        {
            "Set": table["data"],
            "Types left out, one at a time": table["n_types"]
            .map("{:.0f}".format)
            .replace("nan", ""),
            "AUROC of confidence": [number(x, digits=2) for x in table["auroc_confidence"]],
            "AUROC of novelty": [number(x, digits=2) for x in table["auroc_novelty"]],
            "Novelty > .95, left out": [f"{x:.0%}" for x in table["called_left_out"]],
            "others": [f"{x:.0%}" for x in table["called_others"]],
        }
    )
    words = "Means over the up to six largest types, each left out once."
    write(
        source.with_suffix(".md"), page([Section("Unseen types", shown, words)], source, "unseen")
    )
