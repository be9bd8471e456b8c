"""The command `jojoscl predict`: the clusters of new cells, by a model that an earlier run kept."""

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


def predict(arguments: Sequence[str]) -> None:
    """Predict by ``model=`` for the cells of ``data.path=`` or ``data=``, and write ``output=``."""
    names = (str(override.key_or_group) for override in parse(arguments))
    PredictSettings.check_names(name for name in names if name.partition(".")[0] != "data")
    cfg = compose(arguments, "predict")
    settings = PredictSettings(**{name: cfg[name] for name in PredictSettings.defaults()})
    output = Path(settings.output)
    if settings.model is None:
        raise UserError("No model is given: name one by model=path/to/model.npz.")
    if output.suffix not in (".h5ad", ".csv"):
        raise UserError(f"output={output} is not written: give a name that ends in .h5ad or .csv.")
    if output.exists():
        raise UserError(f"{output} is there already: give another output.")
    dataset, model = build(cfg.data), load(settings.model)
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
    is_table = output.suffix == ".csv"
    write_whole(output, table.to_csv(index=False) if is_table else h5ad_bytes(adata))
    confidence, n_clusters = result.obs["confidence"].mean(), len(set(result.labels))
    found = f"{cells.n_obs} cells in {n_clusters} of {model.n_clusters} clusters"
    print(f"{found}, mean confidence {confidence:.2f}\n  {output}")
