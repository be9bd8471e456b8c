"""The tree shows what was tested, or what the call left."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes

import jojoscl
from jojoscl.baselines.controls import PCAKMeans

mpl.use("Agg")
_SPLITS = ["split", "parent", "side", "left", "right", "n_left", "n_right", "p_adjusted", "kept"]


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
