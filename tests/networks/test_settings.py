"""How networks are trained: values that make sense, and what a run knows."""

from __future__ import annotations

import pytest

from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_epochs", 0),
        ("accelerator", "tpu"),
        ("device", -1),
        ("devices", 0),
        ("threads", 0),
        ("threads", 1.5),
    ],
)
def test_wrong_values_are_named(name: str, value: object) -> None:
    with pytest.raises(UserError, match=name):
        TrainerSettings(**{name: value})  # type: ignore[arg-type]


def test_a_run_writes_nothing_and_shows_its_progress_by_default() -> None:
    run = Run()
    assert run.folder is None
    assert run.trainer.progress_bar
    assert run.trainer.max_epochs is None
    assert not hasattr(run, "truth")
