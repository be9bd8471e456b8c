"""How networks are trained: values that make sense, and what a run knows."""

from jojoscl.networks.settings import Run, TrainerSettings
from tests.small import assert_refused


def test_wrong_values_are_named():
    names = ("max_epochs", "device", "devices", "threads")
    assert_refused(
        lambda settings: TrainerSettings.of(settings),
        ({"accelerator": "tpu"}, "accelerator"),
        *[({name: -1}, name) for name in names],
    )


def test_a_run_writes_nothing_and_shows_its_progress_by_default():
    assert Run().folder is None
    assert Run().trainer.progress_bar
