"""Pictures are drawn from a run's records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jojoscl.runner import plots


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_losses(tmp_path: Path) -> None:
    plots.loss_curves([{"epoch": i, "loss": 1.0 / (1 + i), "sure": 0.5} for i in range(3)], tmp_path / "losses.png")
    assert min(size(tmp_path / "losses.png")) > 100


def test_umap_with_and_without_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "umap_coordinates", lambda embedding, seed: embedding[:, :2])
    embedding, labels = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    plots.umap(embedding, labels, None, tmp_path / "one.png", seed=0)
    plots.umap(embedding, labels, labels.astype(str), tmp_path / "two.png", seed=0)
    assert size(tmp_path / "two.png")[0] > size(tmp_path / "one.png")[0]


def test_shrinkage(tmp_path: Path) -> None:
    rows = [(e, q, k, 0.1 * (k + 1)) for e in range(3) for q in ("sigma2", "tau2", "b", "cosine_gap") for k in (0, 1)]
    record = pd.DataFrame(rows, columns=["epoch", "quantity", "cluster", "value"])
    plots.shrinkage(record, tmp_path / "shrinkage.png")
    assert min(size(tmp_path / "shrinkage.png")) > 100


def test_coordinates_of_few_cells(tmp_path: Path) -> None:
    points = plots.umap_coordinates(np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32), seed=0)
    assert points.shape == (12, 2)
    assert np.isfinite(points).all()
