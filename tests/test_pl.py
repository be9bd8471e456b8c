"""Pictures show what is in the AnnData, on the Axes that are given."""

import random
import re
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes
from sklearn.manifold import trustworthiness

import jojoscl
from jojoscl.baselines.controls import PCAKMeans
from jojoscl.pl import umap_coordinates
from tests.small import assert_refused, blobs

mpl.use("Agg")

DRAWN = (jojoscl.pl.umap, jojoscl.pl.confidence, jojoscl.pl.shrinkage, jojoscl.pl.tree)


def test_the_axes_that_are_given_come_back(adata, tmp_path):
    for draw in DRAWN:
        ax = plt.figure().subplots()
        assert draw(adata, ax=ax) is ax
        ax.figure.savefig(tmp_path / "x.png")
        assert (tmp_path / "x.png").stat().st_size > 1000
        assert ax.has_data()
        assert draw(adata) is not ax


def test_axes_that_are_several_are_refused(adata):
    several = plt.subplots(1, 2)  # the figure, and both axes
    for draw in DRAWN:
        words = "ax must be one Axes of matplotlib"
        assert_refused(lambda ax, draw=draw: draw(adata, ax=ax), *[(ax, words) for ax in several])


def test_missing_results_are_one_sentence(cells):
    for draw in DRAWN:
        assert_refused(
            draw,
            (cells, r"no (adata\.|tree).*: call jojoscl\.cluster"),
            (np.ones(3), "adata must be an AnnData, not ndarray"),
        )
    assert not [name for name in cells.obsm if "umap" in name]


def test_umap_takes_scanpys_words_and_colours(adata):
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


def test_umap_makes_coordinates_once(cells):
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
    np.testing.assert_array_equal(few.obsm["X_mine_umap"], first + 1)
    jojoscl.pl.umap(few, "mine", seed=1)
    assert np.abs(few.obsm["X_mine_umap"] - first).max() > 0.1
    jojoscl.pl.umap(few, "mine", seed=0)
    np.testing.assert_array_equal(few.obsm["X_mine_umap"], first)


def test_umap_shows_the_embedding_that_is_there(cells):
    few = cells[:40].copy()
    jojoscl.cluster(few, 2, n_draws=1)
    jojoscl.pl.umap(few)
    first = few.obsm["X_jojoscl_umap"]
    jojoscl.cluster(few, 3, n_draws=1, view_dims=5)
    jojoscl.pl.umap(few)
    second = few.obsm["X_jojoscl_umap"]
    assert np.abs(first - second).max() > 0.1


def test_cells_left_out_by_restrict_to_are_left_out_of_the_pictures(cells):
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


def test_results_of_other_tools_are_one_sentence(adata):
    def drawn(uns: dict[str, object]) -> None:
        other = adata.copy()
        other.uns.pop("jojoscl_splits", None)
        other.uns |= uns
        (jojoscl.pl.shrinkage if uns == {"jojoscl": "mine"} else jojoscl.pl.tree)(other)

    foreign = pd.DataFrame({"a": [1]})
    left = [{"jojoscl": "mine"}, {"jojoscl": [1]}, {"jojoscl": {"tree": {}}}]
    left += [{"jojoscl_splits": "mine"}, {"jojoscl_splits": foreign}]
    assert_refused(drawn, *[(uns, "by jojoscl") for uns in left])


def test_one_cell_has_no_umap():
    few = AnnData(np.ones((1, 2), np.float32), {"mine": ["a"]}, obsm={"X_mine": np.ones((1, 2))})
    with pytest.raises(jojoscl.UserError, match="needs at least 2 cells, and there are 1"):
        jojoscl.pl.umap(few, "mine")


def test_four_cells_are_drawn():
    few = AnnData(np.ones((4, 2), np.float32), obsm={"X_mine": np.eye(4)})
    few.obs["mine"] = pd.Categorical(list("aabb"))
    assert jojoscl.pl.umap(few, "mine").has_data()


def test_names_with_dollar_signs_are_words(cells, tmp_path):
    adata = cells.copy()
    name = r"a $\frac{x$ $"
    adata.obs["mine"] = adata.obs["cell_type"].cat.rename_categories({"type1": name})
    adata.obs["mine_confidence"] = 0.5
    adata.obsm["X_mine"] = adata.obsm["X_mine_umap"] = adata.X[:, :2].toarray()
    jojoscl.split_tests(adata, "mine", method=jojoscl.JojoSCL(n_draws=1))
    for draw in (jojoscl.pl.umap, jojoscl.pl.confidence, jojoscl.pl.tree):
        draw(adata, "mine").figure.savefig(tmp_path / "x.png")
    ax = jojoscl.pl.umap(adata, "mine", legend_loc="on data")
    ax.figure.savefig(tmp_path / "x.png")
    assert name in [text.get_text() for text in ax.texts]


def test_shrinkage_and_confidence_show_the_values(adata):
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


def test_compare_shows_the_share_of_each_group(adata):
    adata.obs["half"] = np.where(np.arange(120) % 2, "$a$", "b")
    ax = jojoscl.pl.compare(adata, "jojoscl", "half")
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("half", "jojoscl")
    with pytest.raises(jojoscl.UserError, match="no column 'leiden'"):
        jojoscl.pl.compare(adata, "jojoscl", "leiden")


_SPLITS = ["split", "parent", "side", "left", "right", "n_left", "n_right", "p_adjusted", "kept"]


def test_the_tree_shows_each_cluster_and_p_value():
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


def test_the_tree_of_the_clusters_shows_cells_and_stability(cells):
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


def test_the_tree_of_two_clusters_of_some_cells(cells):
    adata = cells.copy()
    jojoscl.cluster(adata, 2, n_draws=1, restrict_to=("cell_type", ["type1", "type2"]))
    ax = jojoscl.pl.tree(adata, "jojoscl_R")
    assert len(ax.lines) == 2
    words = [re.fullmatch(r"(.*) \((\d+) cells, stability (.*)\)", word) for word in leaves(ax)]
    drawn = {word[1]: int(word[2]) for word in words if word}
    sizes = adata.obs["jojoscl_R"].value_counts()
    assert drawn == {name: sizes[name] for name in ("type1-type2,0", "type1-type2,1")}


def test_the_tree_of_a_method_that_leaves_none(cells):
    adata = cells.copy()
    jojoscl.cluster(adata, 3, method=PCAKMeans())
    with pytest.raises(jojoscl.UserError, match="has no tree of clusters"):
        jojoscl.pl.tree(adata)
    jojoscl.split_tests(adata, method=PCAKMeans())
    assert len(leaves(jojoscl.pl.tree(adata))) == 3


def test_the_tree_joins_by_data_and_not_by_names():
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


def test_neighbors_stay_neighbors_and_a_seed_repeats():
    x = blobs().astype(np.float32)
    state = random.getstate()
    first, again, other = (umap_coordinates(x, seed) for seed in (0, 0, 1))
    assert random.getstate() == state
    assert first.shape == (len(x), 2)
    assert trustworthiness(x, first, n_neighbors=10) > 0.9
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_cells_that_are_equal_or_few():
    for x in (np.ones((20, 3)), np.arange(8.0)[:, None], np.eye(4), np.eye(2)):
        assert np.isfinite(umap_coordinates(x.astype(np.float32), 0)).all()


def test_a_random_part_of_many_cells_is_drawn(monkeypatch, caplog):
    monkeypatch.setattr(jojoscl.pl, "MOST_CELLS", 30)
    found = umap_coordinates(np.random.default_rng(0).normal(size=(50, 4)), 0)
    assert np.isfinite(found).all(axis=1).sum() == 30
    assert caplog.messages == ["the UMAP is that of 30 random cells of 50"]


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
