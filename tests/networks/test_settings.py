"""How networks are trained: values that make sense, and what a run knows."""

import pytest

from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError


def test_wrong_values_are_named(subtests: pytest.Subtests) -> None:
    for name in ["max_epochs", "accelerator", "device", "devices", "threads"]:
        with subtests.test(name=name), pytest.raises(UserError, match=name):
            TrainerSettings.of({name: "tpu" if name == "accelerator" else -1})


def test_a_run_writes_nothing_and_shows_its_progress_by_default() -> None:
    assert Run().folder is None
    assert Run().trainer.progress_bar
