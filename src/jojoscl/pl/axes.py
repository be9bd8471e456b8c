"""Where pictures are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Text

from jojoscl.utils.errors import UserError
from jojoscl.utils.files import unwritable


class Shown(TypedDict, total=False):
    """How a picture is shown."""

    ax: Axes | None
    show: bool
    save: str | Path | None


@contextmanager
def axes(size: tuple[float, float], **shown: Unpack[Shown]) -> Iterator[Axes]:
    """Yield `ax`, or the axes of a new figure of this size; show and save it after the block."""
    save, ax = shown.get("save"), shown.get("ax")
    if not isinstance(ax, Axes | None):
        raise UserError(f"ax must be one Axes of matplotlib, such as plt.gca(), not {ax!r}.")
    ax = ax or plt.subplots(figsize=size, layout="constrained")[1]
    figure = ax.get_figure(root=True)
    assert figure is not None  # for mypy
    kinds = figure.canvas.get_supported_filetypes()
    if save is not None and Path(str(save)).suffix[1:].lower() not in kinds:
        raise UserError(f"{save} is no picture: let its name end in .{', .'.join(sorted(kinds))}.")
    yield ax
    for text in ax.findobj(Text):
        text.set_parse_math(False)  # a name with dollar signs in it is no formula
    if save is not None:
        try:
            figure.savefig(save, dpi=150, bbox_inches="tight")
        except OSError as error:
            raise unwritable(save, error) or error from error
    if shown.get("show"):
        plt.show()
