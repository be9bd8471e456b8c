"""A study's table and figure, from runs as `collect.py` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments import studies
from experiments.__main__ import main
from experiments.spread import SPREAD
from experiments.text import markdown
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

POINTS = {
    "ablation": [(None, None), ("sure", "none"), ("alpha", 0), ("smoothing", "[1, 1]")],
    "noise": [(None, None), ("dropout", 0.1), ("dropout", 0.5), ("gaussian", 1.0)],
    "sensitivity": [(None, None), ("ridge", 0.5), ("preprocess.n_top_genes", 500)],
    "augmentation": [
        ("mask_rate=0.5, noise_sd", 0.0),
        ("mask_rate=0.5, noise_sd", 0.1),
        ("mask_rate=0, noise_sd", 0),
        ("mask_rate=0, noise_sd", 0.1),
    ],
    "sure_weight": [
        (f"sure={form}, lambda_", weight)
        for form in ("two_view", "centroid")
        for weight in (0, 0.1, 10)
    ],
    "runtime": [(None, None), ("n_cells", 10_000), ("n_cells", 100_000)],
}


def tidy(path: Path, points: list[tuple[Any, Any]]) -> Path:
    """Two methods, two sets, two seeds; seconds grow with the strength to the power of 1.5, from 1000."""
    rows = [
        {"dataset": dataset, "method": method, "seed": seed, "selection": "last", "setting": setting,
         "strength": strength, "n_types": 6, "n_clusters": 5, "ari": 0.5 + 0.2 * seed, "nmi": 0.8,
         "peak_memory_mb": 100.0, "git_commit": f"{seed}234567890", **dict.fromkeys(SPREAD, 0.5),
         "seconds_method": float(strength if setting == "n_cells" else 1000) ** 1.5}
        for setting, strength in points for dataset in ("yan", "simulated") for seed in (0, 1)
        for method in ("jojoscl", "pca_kmeans")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_every_study_is_an_experiment() -> None:
    drawn = {name for name, study in studies.studies().items() if study.draw}
    assert drawn <= {path.stem for path in (conf_dir() / "experiment").glob("*.yaml")}
    assert len(drawn) >= 10


def test_a_study_is_a_configuration_and_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is edited: what CONTRIBUTING says of a new study."""
    (tmp_path / "mine.md").write_text("---\nquestion: what of it\ndraw: bars\n---\n# Mine\n")
    monkeypatch.setattr(studies, "PAGES", tmp_path)
    monkeypatch.setattr(studies, "promised", lambda name: 48)
    studies.studies.cache_clear()
    try:
        tidy(tmp_path / "mine.csv", POINTS["ablation"])
        main(["studies", "mine", "--results", str(tmp_path), "--figures", str(tmp_path)])
        text = (tmp_path / "mine.md").read_text()
    finally:
        studies.studies.cache_clear()
    assert text.startswith("ari / nmi. 32 runs (`experiment=mine` lists 48)")


@pytest.mark.parametrize("head", ["question: a\ntitel: b", "draw: bars"])
def test_a_wrong_head_is_one_sentence(tmp_path: Path, head: str) -> None:
    (tmp_path / "mine.md").write_text(f"---\n{head}\n---\n")
    with pytest.raises(UserError, match=r"The head of .*mine\.md is no study's"):
        studies.Study.of(tmp_path / "mine.md")


@pytest.mark.parametrize("name", POINTS)
def test_command(name: str, tmp_path: Path) -> None:
    tidy(tmp_path / f"{name}.csv", POINTS[name])
    studies.make(tmp_path, tmp_path, [name])
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / f"{name}.md").read_text()
    assert "| Method | Setting | simulated (6 types) | yan (6 types) | mean |" in text
    if name == "ablation":
        assert "| jojoscl | unchanged | 0.600 +- 0.141 / 0.800 +- 0.000 (2) |" in text
        assert "| pca_kmeans | smoothing=[1, 1] | 0.600 +- 0.141" in text
    if name == "sure_weight":
        assert (
            "| jojoscl | sure=two_view, lambda_=0 | 5.000 +- 0.000 / 0.500 +- 0.000 / 0.600 +- 0.141 / 0.500"
            in text
        )
    if name == "runtime":
        assert "| pca_kmeans | n_cells | 1.50 | 1000 - 100000 |" in text


def of_many_sets(path: Path) -> str:
    """The page of a study: the default on four sets, without a part of it, and Leiden on three; K found is 4 to 8."""
    variants = [("jojoscl", None), ("jojoscl", "n_clusters"), ("leiden", None)]
    scores = {
        "w": (0.8, 0.7, 0.9),
        "x": (0.6, 0.6, 0.5),
        "y": (0.4, 0.42, 0.2),
        "z": (0.3, 0.2, None),
    }
    runs = [
        {"dataset": dataset, "method": method, "seed": seed, "selection": "last", "setting": setting, "n_types": 5,
         "n_clusters": 4 + 4 * (method == "leiden"), "ari": ari + 0.01 * seed, "nmi": ari, "git_commit": "1234567890"}
        for dataset, three in scores.items() for seed in (0, 2)
        for (method, setting), ari in zip(variants, three, strict=True)
        if ari is not None
    ]  # fmt: skip
    pd.DataFrame(runs).assign(strength=None).to_csv(path, index=False)
    studies.make(path.parent, path.parent, [path.stem])
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    return path.with_suffix(".md").read_text()


def test_a_study_of_many_sets_by_hand(tmp_path: Path) -> None:
    """The changed default is behind by .1, 0, -.02 and .1, Leiden by -.1, .1 and .2; the factors are 5/4 and 8/5."""
    text = of_many_sets(tmp_path / "unknown_k.csv")
    assert "## ARI of jojoscl against each method" in text
    assert "| n_clusters=null | 4 | +.045 | 2 / 2 / 0 | 2 / 1 / 1 | " in text
    assert "| leiden | 3 | +.067 | 2 / 0 / 1 | 2 / 0 / 1 | " in text
    assert "| jojoscl | 4 | 1.25 | 1.25 | 4 / 0 / 0 |" in text
    assert "| leiden | 3 | 1.60 | 1.60 | 0 / 0 / 3 |" in text
    assert "| Set | jojoscl | n_clusters=null | leiden |" in text
    assert (
        "| z (5 types) | 4.000 +- 0.000 / 0.310 +- 0.014 / 0.300 +- 0.000 (2) | 4.000 +- 0.000 / 0.210"
        in text
    )
    assert "| mean | 4.000 / 0.535 / 0.525 | 4.000 / 0.490 / 0.480 | - |" in text
    assert (
        "22 runs (`experiment=unknown_k` lists 216), made at 1234567 (22)." in text
    )  # 24 sets, 3 seeds


def test_the_unchanged_runs_are_a_strength_of_every_setting(tmp_path: Path) -> None:
    runs = studies.read(tidy(tmp_path / "x.csv", POINTS["noise"]))
    table = studies.with_unchanged(runs)
    strengths = table.groupby(["method", "setting"])["strength"].unique().map(sorted).to_dict()
    for name in ("jojoscl", "pca_kmeans"):
        assert strengths[name, "dropout"] == [0, 0.1, 0.5]
        assert strengths[name, "gaussian"] == [0, 1]
    assert table.groupby(["method", "setting", "strength", "dataset"]).size().eq(2).all()


@pytest.mark.parametrize(
    ("setting", "method", "value"),
    [
        ("ridge", "jojoscl", 0.1),
        ("momentum", "jojoscl_paper", 0.5),
        ("preprocess.n_top_genes", "pca_kmeans", 2000),
        ("thin", "pca_kmeans", 1),
        ("n_cells", "pca_kmeans", 1000),
    ],
)
def test_unchanged_strengths(setting: str, method: str, value: float) -> None:
    assert studies.unchanged_strength(setting, method) == value


@pytest.mark.parametrize(
    ("strengths", "ticks"), [([0, 0.1, 10], [0, 0.1, 10]), ([1, 1.01, 100], [1, 100])]
)
def test_ticks_of_a_logarithmic_axis(strengths: list[float], ticks: list[float]) -> None:
    panel = Figure().subplots()
    panel.plot(strengths, strengths)
    panel.set_xscale("log")
    studies.label_strengths(panel)
    assert list(panel.get_xticks()) == ticks
    places = panel.transData.transform([(x, 1) for x in strengths])[:, 0]
    assert (np.diff(places) > 0).all(), "0 is in the picture too"


def test_a_cell_without_runs_and_a_single_seed(tmp_path: Path) -> None:
    runs = studies.read(tidy(tmp_path / "x.csv", POINTS["ablation"][:1])).query("seed == 0")
    shown = runs.query("method == 'jojoscl' or dataset == 'yan'")
    text = markdown(studies.by_point(shown, ["ari"]))
    assert "| jojoscl | unchanged | 0.500 (1) | 0.500 (1) |" in text
    assert "| pca_kmeans | unchanged | - | 0.500 (1) |" in text


def test_a_study_that_was_not_collected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run jojoscl -m experiment=noise"):
        studies.make(tmp_path, tmp_path, ["noise"])
    with pytest.raises(UserError, match="There is no study table1"):
        studies.make(tmp_path, tmp_path, ["table1"])
