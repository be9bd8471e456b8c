"""The command `jojoscl predict`: the clusters of new cells, by a model that an earlier run kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jojoscl.core.fitted import load
from jojoscl.runner.config import build, compose, parse
from jojoscl.runner.run import h5ad_bytes, result_anndata
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import write_whole
from jojoscl.utils.settings import Settings, setting


@dataclass(kw_only=True)
class PredictSettings(Settings):
    """The settings of the command, besides those of `data`."""

    model: str | None = setting(None, "The model's file; must be given.")
    output: str = setting("predicted.h5ad", "Where the clusters go, a new .h5ad or .csv.")
    batch_key: str | None = setting(None, "Column of obs with the sample of each new cell.")
    n_neighbors: int = setting(7, "How many cells of the fit vote.", low=1)
    max_missing: float = setting(0.2, "Share of the genes that may be missing.", low=0, high=1)

    outermost = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is None:
            raise UserError("No model is given: name one by model=path/to/model.npz.")
        if Path(self.output).suffix not in (".h5ad", ".csv") or Path(self.output).exists():
            raise UserError(f"output={self.output} is no new .h5ad or .csv: give another name.")


def predict(arguments: Sequence[str]) -> None:
    """Predict by ``model=`` for the cells of ``data.path=`` or ``data=``, and write ``output=``."""
    overrides = parse(arguments)
    of_data = [o for o in overrides if str(o.key_or_group).partition(".")[0] == "data"]
    settings = PredictSettings.of(
        {str(o.key_or_group): o.value() for o in overrides if o not in of_data}
    )
    chosen = [] if any(o.key_or_group == "data" for o in of_data) else ["data=h5ad"]
    dataset = build(compose([*chosen, *(str(o.input_line) for o in of_data)]).data)
    model = load(str(settings.model))
    logging.basicConfig(format="%(message)s")
    cells = dataset.load()
    cells.obs = cells.uns.get("obs", cells.obs)
    result = model.predict(
        cells,
        kind=cells.uns["kind"],
        batch_key=settings.batch_key,
        n_neighbors=settings.n_neighbors,
        max_missing=settings.max_missing,
    )
    fit = {"seed": model.seed, "versions": model.versions, "settings": model.settings}
    adata = result_anndata(cells, result, settings.plain() | {"fit": fit})
    table = pd.DataFrame({"cell": cells.obs_names, "cluster": result.labels, **result.obs})
    is_table = settings.output.endswith(".csv")
    content = table.to_csv(index=False) if is_table else h5ad_bytes(adata)
    write_whole(Path(settings.output), content)
    confidence, n_clusters = result.obs["confidence"].mean(), len(set(result.labels))
    found = f"{cells.n_obs} cells in {n_clusters} of {model.n_clusters} clusters"
    print(f"{found}, mean confidence {confidence:.2f}\n  {settings.output}")
