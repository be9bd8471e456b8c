"""The study of uneven types: a row a run, means over sets of means over orders, types by their share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from experiments import uneven
from experiments.__main__ import main
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

ONE_EACH = [[900, 1.0, 1.0], [95, 1.0, 0.5], [5, 1.0, 1.0]]
SPLIT = [[900, 0.5, 1.0], [95, 0.2, 1.0], [5, 1.0, 0.05]]


def finished(
    folder: Path, dataset: str, method: str, seed: int, ari: float, *, k: bool = True,
    types: list[list[float]] = ONE_EACH,
) -> None:  # fmt: skip
    """Write the metrics of a run as jojoscl does."""
    metrics = {
        "experiment": "uneven", "dataset": dataset, "method": method, "seed": seed, "selection": "last",
        "setting": "uneven" if k else "uneven=3.0, n_clusters", "strength": 3.0 if k else "None",
        "n_types": 3, "n_clusters": 3 if k else 2, "ari": ari, "nmi": ari, "acc": ari, "f1": ari, "types": types,
        "git_commit": "1234567890", "seconds": {"total": 1.0},
    }  # fmt: skip
    run = folder / dataset / f"{method}-last" / f"seed{seed}-{'given' if k else 'unknown'}"
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.json").write_text(json.dumps(metrics))


def page_of(folder: Path, *more: str) -> str:
    main(["uneven", *more, "--results", str(folder), "--figures", str(folder)])
    assert (folder / "uneven.png").read_bytes().startswith(b"\x89PNG")
    return (folder / "uneven.md").read_text()


def test_the_page_by_hand(tmp_path: Path) -> None:
    runs = tmp_path / "uneven"
    for seed in (0, 1):
        finished(runs, "bladder", "jojoscl", seed, 0.8)
        finished(runs, "bladder", "pca_kmeans", seed, 0.4, types=SPLIT)
        finished(runs, "pollen", "jojoscl", seed, 0.6, k=False)
    finished(runs, "klein", "jojoscl", 0, 0.2, types=SPLIT)  # one order: its set counts as much
    finished(runs, "klein", "pca_kmeans", 0, 0.5, types=SPLIT)
    text = page_of(tmp_path, str(runs))
    assert "| `jojoscl` | given | 2 | 2 | .500 | .500 | .500 |" in text
    assert "| `jojoscl` | finds | 1 | 2 | .600 | .600 | .600 |" in text
    recall, precision, found = (
        text.partition(f"## {title}")[2]
        for title in (
            "Recall of the best",
            "Precision of the best",
            "Share of the types that are found",
        )
    )
    # The five cells of the third type are too few.
    assert "| `jojoscl` | given | 2 | 2 | – | – | .600 | .750 |" in recall
    assert "| `jojoscl` | given | 2 | 2 | – | – | .750 | 1.000 |" in precision
    assert "| `jojoscl` | given | 2 | 2 | – | – | .500 | 1.000 |" in found
    assert "| `pca_kmeans` | given | 2 | 2 | – | – | .000 | 1.000 |" in found
    assert "3 to 10 %: 3 (3 sets), above 10 %: 3 (3 sets)." in text
    assert "| `jojoscl` | given | 2 | 2 | .800 | .200 | .800 | .200 |" in text  # half A is bladder
    assert "## ARI of jojoscl against each method, K given" in text
    assert "| pca_kmeans | 2 | +.050 | 1 / 0 / 1 |" in text
    assert "| jojoscl | 1 | 1.50 | 1.50 | 1 / 0 / 0 |" in text  # K not given
    assert "| 1234567 | 8 |" in text
    assert page_of(tmp_path) == text, "the page is made from the table"


def test_runs_of_a_second_session_replace_those_of_the_first(tmp_path: Path) -> None:
    for session, ari in (("first", 0.5), ("second", 0.7)):
        finished(tmp_path / session, "pollen", "leiden", 0, ari, k=False)
        finished(tmp_path / session, "pollen", "jojoscl", 0, ari)
        finished(tmp_path / session, f"only_{session}", "jojoscl", 0, ari)
        page_of(tmp_path, str(tmp_path / session), "--merge")
    table = pd.read_csv(tmp_path / "uneven.csv").set_index(["dataset", "method"])["ari"]
    assert table.to_dict() == {
        ("pollen", "leiden"): 0.7,
        ("pollen", "jojoscl"): 0.7,
        ("only_first", "jojoscl"): 0.5,
        ("only_second", "jojoscl"): 0.7,
    }


def test_runs_of_two_defaults_in_one_folder_are_refused(tmp_path: Path) -> None:
    finished(tmp_path / "a", "pollen", "jojoscl", 0, 0.5)
    finished(tmp_path / "b", "pollen", "jojoscl", 0, 0.6)
    with pytest.raises(UserError, match="has jojoscl on pollen, seed 0, twice"):
        uneven.make(tmp_path, tmp_path, tmp_path)


def test_the_bins_of_shares_begin_at_their_lower_end() -> None:
    types = [[n, 1.0, 1.0] for n in (10, 20, 30, 60, 100, 780)]
    run = {"k": True, "method": "a", "dataset": "b", "seed": 0, "types": json.dumps(types)}
    found = uneven.types_of(pd.DataFrame([run]))
    one, three, ten = "1 to 3 %", "3 to 10 %", "above 10 %"
    assert found["bin"].tolist() == [one, one, three, three, ten, ten]


def test_the_halves_are_those_that_were_drawn() -> None:
    listed = OmegaConf.load(conf_dir() / "experiment" / "benchmark.yaml").hydra.sweeper.params.data
    names = sorted(name.strip() for name in listed.split(","))
    drawn = np.random.default_rng(20261129).permutation(names)[:12]
    assert sorted(drawn) == list(uneven.HALF_A)


def test_a_folder_without_such_runs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="jojoscl -m experiment=uneven makes them"):
        uneven.make(tmp_path, tmp_path, tmp_path)
    with pytest.raises(UserError, match="There is no table"):
        uneven.make(tmp_path, tmp_path)
