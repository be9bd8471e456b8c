"""Does `predict` notice a type that the fit never saw? The table of docs/new_cells.md.

    python -m experiments unseen --folder DIR    # labelled h5ad files, else sets of the catalogue

Each of the up to six largest types of ten sets is left out of a fit, with a fifth of the other
cells; the model predicts both. It measures what results/unseen.csv lacks and writes unseen.md.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.metrics import roc_auc_score

import jojoscl
from experiments.measured import cells_of, grid_of, resumed
from experiments.text import Section, Shown, columns, two, write_page
from jojoscl.cells.checks import as_cells
from jojoscl.runner.machine import git_commit

OPTIONS = {"--folder": {"type": Path, "help": "labelled h5ad files"}}
SETS = (
    "human_brain", "hashing_4lines", "pollen", "zeisel_550", "mix_rna_celseq2", "baron_mouse",
    "joost_epidermis", "tasic_gaba", "camp_fetal_cortex", "zilionis_mouse_lung",
)  # fmt: skip
KINDS = {"tasic_gaba": "rpkm"}
FEWEST, MOST_TYPES, MOST_CELLS, CALLED = 10, 6, 3000, 0.95


def of_type(cells: AnnData, types: np.ndarray, left_out: str, kind: str) -> dict[str, float]:
    """Return how well confidence and novelty tell a type that was left out from held-out cells."""
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
    adata = cells_of(data, folder)
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


SHOWN: Shown = {
    "data": ("Set", str),
    "n_types": ("Types left out, one at a time", lambda n: "" if pd.isna(n) else f"{n:.0f}"),
    "auroc_confidence": ("AUROC of confidence", two),
    "auroc_novelty": ("AUROC of novelty", two),
    "called_left_out": (f"Novelty > {two(CALLED)}, left out", "{:.0%}".format),
    "called_others": ("others", "{:.0%}".format),
}


def make(results: Path, figures: Path, folder: Path | None = None) -> None:
    """Measure what the table lacks, and write its page."""
    source = results / "unseen.csv"
    table = resumed(source, grid_of(data=SETS), partial(measure, folder))
    mean = {"data": "mean", **table.select_dtypes("float").mean()}
    shown = columns(pd.concat([table, pd.DataFrame([mean])], ignore_index=True), SHOWN)
    note = "Means over the up to six largest types, each left out once."
    write_page([Section("Unseen types", shown, note)], source, "unseen")
