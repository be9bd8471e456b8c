"""Do the assumptions of shrinkage by SURE hold, and what follows where they do not?

    python -m experiments assumptions normality --data yan   # within types, genes and encoder
    python -m experiments assumptions risk       # estimated and true risk of simulated cells
    python -m experiments assumptions training --data yan    # starts of the temporal labels
    python -m experiments assumptions sizes      # error of tau2 by size of the cluster
    python -m experiments assumptions uneven     # one type that is larger than the others
    python -m experiments assumptions cost       # time of a step by cells, dimensions, clusters

Each measures what results/assumptions/NAME.csv lacks and draws figures/assumptions_NAME.png;
without a name all tables are drawn. The annotated types are looked at here; nothing that is learnt
here clusters cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import assumptions_networks as networks
from experiments import assumptions_risk as risk
from experiments.measured import Unit, grid_of, resumed
from experiments.text import save

SETS = ["pbmc_10x", "bladder", "human_brain", "yan", "baron_mouse", "worm_neuron"]
STUDIES: dict[str, tuple[Callable[..., pd.DataFrame], Callable[[pd.DataFrame], Any]]] = {
    "normality": (networks.measure_normality, networks.draw_normality),
    "risk": (risk.measure_risk, risk.draw_risk),
    "training": (networks.measure_training, networks.draw_training),
    "sizes": (risk.measure_sizes, risk.draw_sizes),
    "uneven": (networks.measure_uneven, networks.draw_uneven),
    "cost": (risk.measure_cost, risk.draw_cost),
}
OPTIONS = {
    "study": {"nargs": "?", "choices": STUDIES, "help": "what to measure"},
    "--data": {"nargs": "+", "default": SETS, "help": "names as in conf/data"},
    "--seeds": {"nargs": "+", "type": int, "default": [0, 1, 2]},
    "--epochs": {"type": int, "default": 50},
}


def units(study: str, data: Sequence[str], seeds: Sequence[int], epochs: int) -> list[Unit]:
    """What the rows of a study are computed from, one call each."""
    trained = {"seed": seeds, "epochs": [epochs]}
    genes = grid_of(data=data, space=["genes"], seed=[0], epochs=[0])
    encoded = grid_of(data=data, space=["jojoscl_paper", "jojoscl"], **trained)
    forms = ["none", "two_view", "centroid"]
    return {
        "normality": genes + encoded,
        "risk": grid_of(dropout=[round(0.1 * i, 1) for i in range(10)], seed=seeds),
        "training": grid_of(data=data, start=networks.STARTS, **trained),
        "sizes": grid_of(n_dims=[8, 32, 128], seed=seeds),
        "uneven": grid_of(ratio=[1, 3, 10, 30], sure=forms, **trained),
        "cost": grid_of(axis=risk.COSTS, repeats=[15]),
    }[study]


def make(
    results: Path,
    figures: Path,
    study: str | None = None,
    data: Sequence[str] = SETS,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 50,
) -> None:
    """Measure what the table of a study lacks, and draw it; without a study draw all tables."""
    place = results / "assumptions"
    for name in (
        [study] if study else [name for name in STUDIES if (place / f"{name}.csv").exists()]
    ):
        measure, draw = STUDIES[name]
        missing = units(name, data, seeds, epochs) if study else []
        table = resumed(place / f"{name}.csv", missing, measure)
        save(draw(table), figures / f"assumptions_{name}.png", dpi=120)
