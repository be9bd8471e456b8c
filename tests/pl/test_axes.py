"""Where a picture goes."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from anndata import AnnData

import jojoscl

mpl.use("Agg")


DRAWN = ["umap", "confidence", "shrinkage", "tree"]


@pytest.mark.parametrize("name", DRAWN)
def test_where_a_picture_cannot_be_saved(adata: AnnData, name: str, tmp_path: Path) -> None:
    draw = getattr(jojoscl.pl, name)
    with pytest.raises(
        jojoscl.UserError, match=r"gone.x\.png cannot be written .No such file or directory"
    ):
        draw(adata, save=tmp_path / "gone" / "x.png")
    for wrong in (tmp_path / "x.doc", tmp_path / "x"):
        with pytest.raises(jojoscl.UserError, match=r" is no picture: let its name end in \..*png"):
            draw(adata, save=wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", DRAWN)
def test_axes_that_are_several_are_refused(adata: AnnData, name: str) -> None:
    for several in plt.subplots(1, 2):  # the figure, and both axes
        with pytest.raises(jojoscl.UserError, match="ax must be one Axes of matplotlib"):
            getattr(jojoscl.pl, name)(adata, ax=several)
    plt.close()
