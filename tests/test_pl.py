"""Pictures show what is in the AnnData, on the Axes that are given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import jojoscl

mpl.use("Agg")
import matplotlib.pyplot as plt

DRAWN = ["umap", "confidence", "shrinkage", "tree"]


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def adata(cells: AnnData) -> AnnData:
    adata = cells.copy()
    jojoscl.cluster(adata, 3, n_draws=1)
    jojoscl.split_tests(adata, method=jojoscl.JojoSCL(n_draws=1))
    adata.obsm["X_jojoscl_umap"] = adata.obsm["X_jojoscl"][:, :2]
    return adata


@pytest.mark.parametrize("name", DRAWN)
def test_the_axes_that_are_given_come_back(adata: AnnData, name: str, tmp_path: Path) -> None:
    ax = plt.figure().subplots()
    assert getattr(jojoscl.pl, name)(adata, ax=ax, save=tmp_path / "x.png") is ax
    assert (tmp_path / "x.png").stat().st_size > 1000
    assert ax.has_data()
    assert getattr(jojoscl.pl, name)(adata) is not ax


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_missing_is_said_in_one_sentence(cells: AnnData, name: str) -> None:
    with pytest.raises(
        jojoscl.UserError, match=r"There is no adata\..*: call jojoscl\.(cluster|split_tests) first"
    ):
        getattr(jojoscl.pl, name)(cells)
    with pytest.raises(jojoscl.UserError, match="adata must be an AnnData, not ndarray"):
        getattr(jojoscl.pl, name)(np.ones(3))
    assert not [name for name in cells.obsm if "umap" in name]


def test_umap_takes_scanpys_words_and_colours(adata: AnnData) -> None:
    ax = jojoscl.pl.umap(adata, color="cell_type", palette=["red", "green", "blue"], size=5)
    assert {tuple(colour[:3]) for colour in ax.collections[0].get_facecolor()} <= {
        (1, 0, 0),
        (0, 128 / 255, 0),
        (0, 0, 1),
    }
    assert ax.get_title() == "cell_type"
    with pytest.raises(jojoscl.UserError, match="no column and no gene 'nothing'"):
        jojoscl.pl.umap(adata, color="nothing")


def test_umap_makes_coordinates_once(cells: AnnData) -> None:
    few = cells[:30].copy()
    few.obsm["X_mine"], few.obs["mine"] = (
        np.random.default_rng(0).normal(size=(30, 4)),
        pd.Categorical(["a", "b"] * 15),
    )
    jojoscl.pl.umap(few, "mine")
    first = few.obsm["X_mine_umap"].copy()
    assert first.shape == (30, 2)
    assert np.isfinite(first).all()
    jojoscl.pl.umap(few, "mine", seed=1)
    np.testing.assert_array_equal(few.obsm["X_mine_umap"], first)


def test_shrinkage_and_confidence_show_the_values(adata: AnnData) -> None:
    bars = jojoscl.pl.shrinkage(adata).patches
    np.testing.assert_allclose(
        [bar.get_height() for bar in bars], adata.uns["jojoscl"]["shrinkage"]
    )
    words = [label.get_text() for label in jojoscl.pl.confidence(adata).get_yticklabels()]
    sizes = adata.obs["jojoscl"].value_counts()
    assert sorted(words) == sorted(f"{name} ({n} cells)" for name, n in sizes.items())
    other = adata.copy()
    del other.uns["jojoscl"]["shrinkage"]
    with pytest.raises(jojoscl.UserError, match=r"only .* leaves it"):
        jojoscl.pl.shrinkage(other)


def test_the_tree_shows_each_cluster_and_p_value() -> None:
    adata = AnnData(np.ones((2, 2), np.float32))
    rows = [
        (0, -1, "0 + 2", "1 + 3", 30, 40, 1e-9, True),
        (1, 0, "0", "2", 10, 20, 0.2, False),
        (2, 0, "1", "3", 5, 35, 1e-3, True),
    ]
    columns = ["split", "parent", "left", "right", "n_left", "n_right", "p_adjusted", "kept"]
    adata.uns["jojoscl_splits"] = pd.DataFrame(rows, columns=columns)
    ax = jojoscl.pl.tree(adata)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "0 (10 cells)", "2 (20 cells)", "1 (5 cells)", "3 (35 cells)",
    ]  # fmt: skip
    assert {text.get_text() for text in ax.texts} == {"1e-09", "0.2", "0.001"}
    assert sorted(line.get_linestyle() for line in ax.lines) == ["-"] * 4 + ["--"] * 2
    adata.uns["jojoscl_splits"] = adata.uns["jojoscl_splits"][:0]
    with pytest.raises(jojoscl.UserError, match="One cluster has no splits"):
        jojoscl.pl.tree(adata)


def test_matplotlib_is_loaded_with_the_pictures_only() -> None:
    code = "import sys, jojoscl; jojoscl.cluster; assert 'matplotlib' not in sys.modules; jojoscl.pl.umap"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
