"""A study's table and figure, from runs as `collect.py` writes them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jojoscl.runner.config import conf_dir

FOLDER = Path(__file__).parents[2] / "experiments"
POINTS = {
    "ablation": [(None, None), ("sure", "none"), ("alpha", 0), ("smoothing", "[1, 1]")],
    "noise": [(None, None), ("dropout", 0.1), ("dropout", 0.5), ("gaussian", 1.0)],
    "sensitivity": [(None, None), ("momentum", 0.5), ("preprocess.n_top_genes", 500)],
    "augmentation": [
        ("mask_rate=0.5, noise_sd", 0.0),
        ("mask_rate=0.5, noise_sd", 0.1),
        ("mask_rate=0, noise_sd", 0),
        ("mask_rate=0, noise_sd", 0.1),
    ],
    "unknown_k": [(None, None)],
    "runtime": [(None, None), ("n_cells", 10_000), ("n_cells", 100_000)],
}


@pytest.fixture(scope="module")
def studies() -> Any:
    sys.path.insert(0, str(FOLDER))
    return importlib.import_module("studies")


def tidy(path: Path, points: list[tuple[Any, Any]]) -> Path:
    """Two methods, two sets, two seeds; seconds grow with the strength to the power of 1.5, from 1000."""
    rows = [
        {"dataset": dataset, "method": method, "preset": preset, "seed": seed, "selection": "last", "setting": setting,
         "strength": strength, "n_types": 6, "n_clusters": 5, "ari": 0.5 + 0.2 * seed, "nmi": 0.8,
         "peak_memory_mb": 100.0,
         "seconds_method": float(strength if setting == "n_cells" else 1000) ** 1.5}
        for setting, strength in points for dataset in ("yan", "simulated") for seed in (0, 1)
        for method, preset in (("jojoscl", "default"), ("pca_kmeans", None))
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_every_study_is_an_experiment(studies: Any) -> None:
    assert set(studies.STUDIES) <= {path.stem for path in (conf_dir() / "experiment").glob("*.yaml")}


@pytest.mark.parametrize("name", POINTS)
def test_command(studies: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tidy(tmp_path / f"{name}.csv", POINTS[name])
    monkeypatch.setattr(sys, "argv", ["studies.py", name, "--results", str(tmp_path), "--figures", str(tmp_path)])
    studies.main()
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / f"{name}.md").read_text()
    assert "| Method | Setting | simulated (6 types) | yan (6 types) | mean |" in text
    if name == "ablation":
        assert "| jojoscl | unchanged | 0.600 +- 0.141 / 0.800 +- 0.000 (2) |" in text
        assert "| pca_kmeans | smoothing=[1, 1] | 0.600 +- 0.141" in text
    if name == "unknown_k":
        assert "| jojoscl | unchanged | 5.000 +- 0.000 / 0.600 +- 0.141 / 0.800 +- 0.000 (2) |" in text
    if name == "runtime":
        assert "| pca_kmeans | n_cells | 1.50 | 1000 - 100000 |" in text


def test_the_unchanged_runs_are_a_strength_of_every_setting(studies: Any, tmp_path: Path) -> None:
    runs = studies.read(tidy(tmp_path / "x.csv", POINTS["noise"]))
    table = studies.with_unchanged(runs)
    strengths = table.groupby(["name", "setting"])["strength"].unique().map(sorted).to_dict()
    for name in ("jojoscl", "pca_kmeans"):
        assert strengths[name, "dropout"] == [0, 0.1, 0.5]
        assert strengths[name, "gaussian"] == [0, 1]
    assert table.groupby(["name", "setting", "strength", "dataset"]).size().eq(2).all()


@pytest.mark.parametrize(
    ("setting", "method", "preset", "value"),
    [
        ("momentum", "jojoscl", "default", 0.99),
        ("momentum", "jojoscl", "paper", 0.5),
        ("preprocess.n_top_genes", "pca_kmeans", np.nan, 2000),
        ("thin", "pca_kmeans", np.nan, 1),
        ("n_cells", "pca_kmeans", np.nan, 1000),
    ],
)
def test_unchanged_strengths(studies: Any, setting: str, method: str, preset: Any, value: float) -> None:
    assert studies.unchanged_strength(setting, method, preset) == value


def test_a_cell_without_runs_and_a_single_seed(studies: Any, tmp_path: Path) -> None:
    runs = studies.read(tidy(tmp_path / "x.csv", POINTS["ablation"][:1])).query("seed == 0")
    text = studies.markdown(runs.query("name == 'jojoscl' or dataset == 'yan'"), ["ari"])
    assert "| jojoscl | unchanged | 0.500 (1) | 0.500 (1) |" in text
    assert "| pca_kmeans | unchanged | - | 0.500 (1) |" in text


def test_a_study_that_was_not_collected(
    studies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["studies.py", "noise", "--results", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        studies.main()
    assert "run jojoscl -m experiment=noise" in capsys.readouterr().err
