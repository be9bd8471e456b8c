"""The studies of the assumptions find what is there where it is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from experiments import assumptions as study
from experiments import assumptions_networks as networks
from experiments import assumptions_risk as risk
from experiments.__main__ import main
from experiments.measured import grid_of, resumed
from experiments.text import save
from jojoscl.utils.errors import UserError


def test_normal_coordinates_pass_and_exponential_ones_fail() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [100, 200, 10])
    normal, exponential = rng.normal(size=(310, 300)), rng.exponential(size=(310, 100))
    passing = networks.normality(np.hstack([normal, np.ones((310, 5))]), labels)
    assert set(passing["label"]) == {0, 1}  # ten cells are too few to tell
    assert (passing["n_tested"] == 300).all()  # five do not vary
    np.testing.assert_allclose(
        passing["rejected"], networks.LEVEL, atol=4 * np.sqrt(0.05 * 0.95 / 300)
    )
    assert passing["discovered"].max() <= 0.01
    failing = networks.normality(exponential, labels)
    assert failing["rejected"].min() > 0.97
    assert failing["discovered"].min() > 0.97


def test_of_a_mixture_the_share_of_normal_coordinates_among_the_discoveries_is_small() -> None:
    rng = np.random.default_rng(1)
    x = np.hstack([rng.normal(size=(300, 500)), rng.exponential(size=(300, 500))])
    found = networks.normality(x, np.zeros(300, int))["discovered"]
    assert ((found > 0.5) & (found < 0.54)).all()  # 500 / (1 - 0.05) at most


def test_types_without_cells_to_test_are_one_sentence() -> None:
    with pytest.raises(UserError, match="No type has 20 cells"):
        networks.normality(np.ones((5, 2)), np.zeros(5, int))


def test_far_from_normal_is_not_taken_for_normal() -> None:
    x = np.zeros((3000, 1))
    x[:30] = (
        5  # a gene that few cells of a type express: the approximation of statsmodels gives a p above 1
    )
    assert networks.anderson_darling(x)[0] == 0


def test_estimated_risk_is_the_true_one_of_normal_cells() -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(3000) % 3
    theta = 5.0 * labels[:, None] + torch.randn(3000, 16, generator=g, dtype=torch.float64)
    x1, x2 = (
        theta + 0.7 * torch.randn(theta.shape, generator=g, dtype=torch.float64) for _ in range(2)
    )
    found = risk.risks(x1, x2, theta, labels)
    best = 0.49 * 1 / (1 + 0.49)  # sigma2 tau2 / (sigma2 + tau2)
    assert found["estimated"] == pytest.approx(best, rel=0.02)
    assert found["true"] == pytest.approx(best, rel=0.02)
    assert found["unshrunk"] == pytest.approx(0.49, rel=0.02)
    assert found["released"] == pytest.approx(0, abs=1e-9)


def test_simulated_cells_are_drawn_again_around_the_same_truth() -> None:
    scores, types = risk.draws(0.3, 0, 12)
    assert scores.shape == (12, 400, risk.N_DIMS)
    within = scores - scores.mean(0)
    assert (
        abs(np.corrcoef(within[0].ravel(), within[1].ravel())[0, 1]) < 0.15
    )  # noise of its own: -1/11
    means = np.stack([scores[:2, types == kind].mean(1) for kind in np.unique(types)])
    np.testing.assert_allclose(means[:, 0], means[:, 1], atol=1)
    assert within[0].std() == pytest.approx(within[1].std(), rel=0.05)
    assert (scores == risk.draws(0.3, 0, 12)[0]).all()


def test_error_of_tau2_falls_with_the_root_of_the_size() -> None:
    table = risk.tau2_errors([10, 40, 160, 640], 0, n_draws=300)
    slope = np.polyfit(np.log(table["n_cells"]), np.log(table["rmse"]), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)
    np.testing.assert_allclose(table["rmse"], table["expected"], rtol=0.15)
    assert (table["bias"].abs() < 4 * table["rmse"] / np.sqrt(300)).all()


def test_movement_of_centroids_is_relative_to_their_spread() -> None:
    after = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    found = networks.changes(
        after + torch.tensor([0.0, 0.1]), after, np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])
    )
    assert found == {"movement": pytest.approx(0.1), "ari_previous": 1.0}


@pytest.mark.parametrize("start", ["kmeans", "spectral", "truth", "random"])
def test_starts(start: str) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 40)
    labels = networks.first_labels(rng.normal(size=(120, 20)) + 5 * truth[:, None], truth, start, 0)
    assert sorted(np.bincount(labels)) == [40, 40, 40]
    agreement = networks.adjusted_rand_score(truth, labels)
    assert agreement < 0.1 if start == "random" else agreement == 1


def test_training_is_followed_from_epoch_to_epoch() -> None:
    table = networks.measure_training("pbmc68k_reduced", "truth", 0, 2)
    assert list(table["epoch"]) == [0, 1]
    assert table[["movement", "ari_previous", "ari_truth", "loss", "sure"]].notna().all(axis=None)


def test_clusters_of_uneven_types_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: object, cells: AnnData, k: int, **_: object) -> SimpleNamespace:
        return SimpleNamespace(labels=np.where(np.arange(cells.n_obs) % 2, truth.codes, 0))

    data = networks.uneven_cells(5, 0)
    truth = data.load().obs["cell_type"].cat
    assert sorted(truth.codes.value_counts()) == [50, 50, 50, 250]
    monkeypatch.setattr(networks.PaperJojoSCL, "fit_predict", half)
    found = networks.measure_uneven(5, "none", 0, 1).iloc[0]
    assert found["rare"] == pytest.approx(0.5, abs=0.1)
    assert found["largest"] == pytest.approx((250 + 75) / 400, abs=0.04)


def test_cost_is_timed_along_each_axis_and_its_exponent_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(risk, "COSTS", {axis: [8, 16, 32] for axis in risk.COSTS})
    monkeypatch.setattr(risk, "MIDDLE", {"n_cells": 64, "n_dims": 8, "n_clusters": 4})
    parts = [risk.measure_cost(axis, 1).assign(axis=axis) for axis in risk.COSTS]
    table = pd.concat(parts)
    assert table.groupby(["axis", "term"]).size().eq(3).all()
    assert (table["seconds"] > 0).all()
    assert risk.slopes(
        table.assign(seconds=3.0 * table["size"] ** 1.5)
    ).to_numpy() == pytest.approx(1.5)


def test_what_is_in_the_table_is_not_measured_again(tmp_path: Path) -> None:
    calls = []

    def measure(dropout: float, seed: int) -> pd.DataFrame:
        calls.append((dropout, seed))
        return pd.DataFrame({"value": [dropout + seed] * 2})

    path = tmp_path / "table.csv"
    resumed(path, grid_of(dropout=[0.1, 0.3], seed=[0]), measure)
    table = resumed(path, grid_of(dropout=[0.1, 0.3], seed=[0, 1]), measure)
    assert calls == [(0.1, 0), (0.3, 0), (0.1, 1), (0.3, 1)]
    assert len(table) == len(pd.read_csv(path)) == 8


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "units", lambda *_: [{"n_dims": 8, "seed": 0}])
    main(["assumptions", "sizes", "--results", str(tmp_path), "--figures", str(tmp_path)])
    assert (tmp_path / "assumptions_sizes.png").read_bytes().startswith(b"\x89PNG")
    table = tmp_path / "assumptions" / "sizes.csv"
    assert len(pd.read_csv(table)) == 9
    before = table.read_bytes()
    main(["assumptions", "--results", str(tmp_path), "--figures", str(tmp_path / "again")])
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["assumptions_sizes.png"]
    assert table.read_bytes() == before, "without a name nothing is measured"


def test_the_picture_of_normality_is_the_same_each_time(tmp_path: Path) -> None:
    rows = [
        ("yan", space, "Anderson-Darling", label, 0.9)
        for space in ("genes", "jojoscl")
        for label in range(20)
    ]
    table = pd.DataFrame(rows, columns=["data", "space", "test", "label", "discovered"])
    for name in ("once.png", "twice.png"):
        save(networks.draw_normality(table), tmp_path / name)
    assert (tmp_path / "once.png").read_bytes() == (tmp_path / "twice.png").read_bytes()
