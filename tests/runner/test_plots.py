"""Pictures are drawn from a run's records."""

import io
from unittest.mock import Mock

import numpy as np
from PIL import Image

from jojoscl.runner import page as plots


def size(content: bytes | None) -> tuple[int, int]:
    assert content
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_losses():
    rows = [{"epoch": i, "loss": 1.0 / (1 + i), "sure": 0.5} for i in range(3)]
    assert min(size(plots.loss_curves(rows))) > 100


def test_umap_with_and_without_types(monkeypatch):
    coordinates = Mock(side_effect=lambda embedding, seed: embedding[:, :2])
    monkeypatch.setattr(plots.pl, "umap_coordinates", coordinates)
    embedding, labels = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    one, two = (
        plots.umap(embedding, labels, truth, seed=0) for truth in (None, labels.astype(str))
    )
    assert size(two)[0] > size(one)[0]
    assert coordinates.call_count == 2, "both panels of a picture have the same coordinates"


def test_a_type_has_the_color_of_its_cluster(monkeypatch):
    palettes = []
    monkeypatch.setattr(plots.pl, "umap", lambda *_, palette, **__: palettes.append(palette))
    labels, truth = np.repeat([0, 1, 2], 10), np.repeat(["b", "a", "c", "d"], [10, 10, 6, 4])
    plots.umap(np.zeros((30, 2)), labels, truth, seed=0)
    clusters, types = palettes
    assert [types[name] for name in "bac"] == [clusters[name] for name in "012"]
    assert types["d"] not in clusters.values()


def test_dollar_signs_are_no_formulas(monkeypatch):
    monkeypatch.setattr(plots.pl, "umap_coordinates", lambda embedding, seed: embedding[:, :2])
    embedding, labels = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    names = np.array([r"$\frac{x$", "$", "$a$ b $c$"])[labels]
    assert size(plots.umap(embedding, labels, names, seed=0))


def test_a_picture_that_fails_is_a_warning(caplog):
    pictures = {"losses.png": lambda: b"png", "umap.png": lambda: bytes(-1)}
    assert plots.tried(pictures) == {"losses.png": b"png"}
    assert caplog.messages == ["umap.png could not be drawn (ValueError('negative count'))"]
