"""Pictures show what is in the AnnData, on the Axes that are given."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes

import jojoscl
from jojoscl.baselines.controls import PCAKMeans
from jojoscl.pl import _SPLITS

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


@pytest.mark.parametrize("name", DRAWN)
def test_where_a_picture_cannot_be_saved(adata: AnnData, name: str, tmp_path: Path) -> None:
    draw = getattr(jojoscl.pl, name)
    with pytest.raises(
        jojoscl.UserError, match=r"gone.x\.png cannot be written .its folder is gone"
    ):
        draw(adata, save=tmp_path / "gone" / "x.png")
    for wrong in (tmp_path / "x.doc", tmp_path / "x", 5):
        with pytest.raises(jojoscl.UserError, match=r" is no picture: let its name end in \..*png"):
            draw(adata, save=wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("color", [["jojoscl", "cell_type"], 3, ("jojoscl",)])
def test_one_color_a_picture(adata: AnnData, color: Any) -> None:
    with pytest.raises(jojoscl.UserError, match="color must be one column or gene, not"):
        jojoscl.pl.umap(adata, color=color)


@pytest.mark.parametrize("theirs", [3, "words", {"splits": 1}, pd.DataFrame({"split": [0]})])
def test_uns_of_someone_else(cells: AnnData, theirs: object) -> None:
    adata = cells.copy()
    adata.uns["jojoscl"] = adata.uns["jojoscl_splits"] = theirs
    with pytest.raises(jojoscl.UserError, match="has no shrinkage of components"):
        jojoscl.pl.shrinkage(adata)
    no_table = pytest.raises(jojoscl.UserError, match=r"is no table of splits: call jojoscl\.split")
    with no_table:
        jojoscl.pl.tree(adata)
    splits = {key: [0] for key in ("split", "left", "right", "side", "n_left", "n_right")}
    adata.uns["jojoscl_splits"] = pd.DataFrame(
        splits | {"parent": [5], "p_adjusted": [0.1], "kept": [True]}
    )
    with no_table:
        jojoscl.pl.tree(adata)


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


def test_the_tree_shows_each_cluster_and_p_value() -> None:
    adata = AnnData(np.ones((2, 2), np.float32))
    rows = [
        (0, -1, "", "0 + 2", "1 + 3", 30, 40, 1e-9, True),
        (1, 0, "left", "0", "2", 10, 20, 0.2, False),
        (2, 0, "right", "1", "3", 5, 35, 1e-3, True),
    ]
    adata.uns["jojoscl_splits"] = pd.DataFrame(rows, columns=_SPLITS)
    ax = jojoscl.pl.tree(adata)
    assert leaves(ax) == [
        "0 (10 cells)", "2 (20 cells)", "1 (5 cells)", "3 (35 cells)",
    ]  # fmt: skip
    assert {text.get_text() for text in ax.texts} == {"1e-09", "0.2", "0.001"}
    assert sorted(line.get_linestyle() for line in ax.lines) == ["-"] * 4 + ["--"] * 2
    adata.uns["jojoscl_splits"] = adata.uns["jojoscl_splits"][:0]
    with pytest.raises(jojoscl.UserError, match="One cluster has no splits"):
        jojoscl.pl.tree(adata)


def leaves(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_the_tree_of_the_clusters_shows_cells_and_stability(cells: AnnData) -> None:
    adata = cells.copy()
    jojoscl.cluster(adata, 3, n_draws=1)
    ax = jojoscl.pl.tree(adata)
    sizes, stable = adata.obs["jojoscl"].value_counts(), adata.uns["jojoscl"]["stability"]
    assert sorted(leaves(ax)) == [
        f"{k} ({sizes[str(k)]} cells, stability {stable[k]:.2f})" for k in range(3)
    ]
    assert len(ax.lines) == 4
    assert not any(text.get_text() for text in ax.texts)
    adata.obs["jojoscl"] = adata.obs["jojoscl"].cat.rename_categories({"1": "T cells"})
    assert f"T cells ({sizes['1']} cells, stability {stable[1]:.2f})" in leaves(
        jojoscl.pl.tree(adata)
    )
    jojoscl.split_tests(adata, method=jojoscl.JojoSCL(n_draws=1))
    assert "stability" not in "".join(leaves(jojoscl.pl.tree(adata)))


def test_the_tree_of_two_clusters_of_some_cells(cells: AnnData) -> None:
    adata = cells.copy()
    jojoscl.cluster(adata, 2, n_draws=1, restrict_to=("cell_type", ["type1", "type2"]))
    ax = jojoscl.pl.tree(adata, "jojoscl_R")
    assert len(ax.lines) == 2
    words = [re.fullmatch(r"(.*) \((\d+) cells, stability (.*)\)", word) for word in leaves(ax)]
    drawn = {word[1]: int(word[2]) for word in words if word}
    sizes = adata.obs["jojoscl_R"].value_counts()
    assert drawn == {name: sizes[name] for name in ("type1-type2,0", "type1-type2,1")}


def test_the_tree_of_a_method_that_leaves_none(cells: AnnData) -> None:
    adata = cells.copy()
    jojoscl.cluster(adata, 3, method=PCAKMeans())
    with pytest.raises(jojoscl.UserError, match="has no tree of clusters"):
        jojoscl.pl.tree(adata)
    jojoscl.split_tests(adata, method=PCAKMeans())
    assert len(leaves(jojoscl.pl.tree(adata))) == 3


def test_the_tree_joins_by_data_and_not_by_names() -> None:
    """Clusters called A, B and "A + B": the third is no split of the others."""
    adata = AnnData(np.ones((2, 2), np.float32))
    rows = [
        (0, -1, "", "A + B", "A + B", 30, 40, 1e-9, True),
        (1, 0, "right", "A", "B", 15, 25, 1e-3, True),
    ]
    adata.uns["jojoscl_splits"] = pd.DataFrame(rows, columns=_SPLITS)
    assert leaves(jojoscl.pl.tree(adata)) == [
        "A + B (30 cells)", "A (15 cells)", "B (25 cells)",
    ]  # fmt: skip


def test_matplotlib_is_loaded_with_the_pictures_only() -> None:
    code = "import sys, jojoscl; jojoscl.cluster; assert 'matplotlib' not in sys.modules; jojoscl.pl.umap"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
