"""When training in stages ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jojoscl.networks.stopping import Plateau


def stops_after(losses: list[float], **settings: Any) -> int | None:
    """The number of epochs after which a Plateau ends a training with these losses."""
    plateau, trainer = Plateau(**settings), SimpleNamespace(should_stop=False, callback_metrics={})
    for epoch, loss in enumerate(losses, start=1):
        trainer.global_step = 10 * epoch
        trainer.callback_metrics["loss"] = loss
        plateau.on_train_epoch_end(trainer, None)
        if trainer.should_stop:
            return epoch
    return None


@pytest.mark.parametrize(
    ("losses", "gain", "end"),
    [
        ([3.0, 2.0, 2.1, 2.2], 0.0, 4),  # two epochs that are not below 2
        ([3.0, 2.0, 1.99, 1.98], 0.0, None),
        ([3.0, 2.0, 1.99, 1.98, 1.97], 0.02, 4),  # 1.98 is not yet 2 % below 2
        ([3.0, 2.0, 1.99, 1.95, 1.94, 1.93], 0.02, 6),  # 1.95 is
        ([-1.0, -1.01, -1.02], 0.05, 3),  # a log-likelihood above 0
        ([-1.0, -1.1, -1.2, -1.3], 0.05, None),
    ],
)
def test_plateau(losses: list[float], gain: float, end: int | None) -> None:
    assert stops_after(losses, patience=20, gain=gain) == end
