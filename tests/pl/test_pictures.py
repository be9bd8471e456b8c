"""Pictures show what is in the AnnData, on the Axes that are given."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", DRAWN)
def test_the_axes_that_are_given_come_back(adata: AnnData, name: str, tmp_path: Path) -> None:
    ax = plt.figure().subplots()
    assert getattr(jojoscl.pl, name)(adata, ax=ax, save=tmp_path / "x.png") is ax
    assert (tmp_path / "x.png").stat().st_size > 1000
    assert ax.has_data()
    assert getattr(jojoscl.pl, name)(adata) is not ax


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_missing_is_said_in_one_sentence(cells: AnnData, name: str) -> None:
    with pytest.raises(jojoscl.UserError, match=r"no (adata\.|tree).*: call jojoscl\.cluster"):
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
    for none in ("nothing", ["jojoscl", "cell_type"]):
        with pytest.raises(jojoscl.UserError, match="There is no column and no gene"):
            jojoscl.pl.umap(adata, color=none)


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
    few.obsm["X_mine_umap"] += 1
    jojoscl.pl.umap(few, "mine")
    jojoscl.pl.umap(few, "mine", seed=0)
    np.testing.assert_array_equal(few.obsm["X_mine_umap"], first + 1)
    jojoscl.pl.umap(few, "mine", seed=1)
    assert np.abs(few.obsm["X_mine_umap"] - first).max() > 0.1
    jojoscl.pl.umap(few, "mine", seed=0)
    np.testing.assert_array_equal(few.obsm["X_mine_umap"], first)


def test_umap_shows_the_embedding_that_is_there(cells: AnnData) -> None:
    few = cells[:40].copy()
    jojoscl.cluster(few, 2, n_draws=1)
    jojoscl.pl.umap(few)
    first = few.obsm["X_jojoscl_umap"]
    jojoscl.cluster(few, 3, n_draws=1, view_dims=5)
    jojoscl.pl.umap(few)
    second = few.obsm["X_jojoscl_umap"]
    assert np.abs(first - second).max() > 0.1
    few.obsm["X_jojoscl"] = few.obsm["X_jojoscl"][::-1].copy()  # by hand
    jojoscl.pl.umap(few)
    assert np.abs(few.obsm["X_jojoscl_umap"] - second).max() > 0.1


def test_cells_left_out_by_restrict_to_are_left_out_of_the_pictures(cells: AnnData) -> None:
    adata = cells.copy()
    jojoscl.cluster(adata, 2, n_draws=1, restrict_to=("cell_type", ["type1", "type2"]))
    ax = jojoscl.pl.umap(adata, "jojoscl_R")
    inside = adata.obs["cell_type"] != "type3"
    assert np.isfinite(adata.obsm["X_jojoscl_R_umap"]).all(axis=1).tolist() == inside.tolist()
    assert ax.has_data()
    words = [
        label.get_text() for label in jojoscl.pl.confidence(adata, "jojoscl_R").get_yticklabels()
    ]
    assert all(word.startswith("type1-type2,") for word in words)
    adata.obs["jojoscl_R"] = adata.obs["jojoscl_R"].where(np.arange(120) > 9)
    assert jojoscl.pl.confidence(adata, "jojoscl_R").has_data()
    assert jojoscl.pl.umap(adata, "jojoscl_R").has_data()
    adata.obs["jojoscl_R_confidence"] = np.nan
    with pytest.raises(jojoscl.UserError, match="No cell has a confidence"):
        jojoscl.pl.confidence(adata, "jojoscl_R")


@pytest.mark.parametrize("n", [2, 3])
def test_too_few_cells_for_a_umap(n: int) -> None:
    few = AnnData(np.ones((n, 2), np.float32), obsm={"X_mine": np.eye(n)})
    few.obs["mine"] = "a"
    with pytest.raises(jojoscl.UserError, match=f"needs at least 4 cells, and there are {n}"):
        jojoscl.pl.umap(few, "mine")


def test_four_cells_are_drawn() -> None:
    few = AnnData(np.ones((4, 2), np.float32), obsm={"X_mine": np.eye(4)})
    few.obs["mine"] = pd.Categorical(list("aabb"))
    assert jojoscl.pl.umap(few, "mine").has_data()


def test_names_with_dollar_signs_are_words(cells: AnnData, tmp_path: Path) -> None:
    adata = cells.copy()
    name = r"a $\frac{x$ $"
    adata.obs["mine"] = adata.obs["cell_type"].cat.rename_categories({"type1": name})
    adata.obs["mine_confidence"] = 0.5
    adata.obsm["X_mine"] = adata.obsm["X_mine_umap"] = adata.X[:, :2].toarray()
    jojoscl.split_tests(adata, "mine", method=jojoscl.JojoSCL(n_draws=1))
    for draw in (jojoscl.pl.umap, jojoscl.pl.confidence, jojoscl.pl.tree):
        draw(adata, "mine", save=tmp_path / "x.png")
    ax = jojoscl.pl.umap(adata, "mine", legend_loc="on data", save=tmp_path / "x.png")
    assert name in [text.get_text() for text in ax.texts]


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


def test_compare_shows_the_share_of_each_group(adata: AnnData) -> None:
    adata.obs["half"] = np.where(np.arange(120) % 2, "$a$", "b")
    ax = jojoscl.pl.compare(adata, "jojoscl", "half")
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("half", "jojoscl")
    with pytest.raises(jojoscl.UserError, match="no column 'leiden'"):
        jojoscl.pl.compare(adata, "jojoscl", "leiden")
