"""What all modules share: generators by seed and epoch, losses that are not finite."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from jojoscl.networks.module import SeededModule
from jojoscl.utils.errors import UserError


class Small(SeededModule):
    """A module without layers."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = 3
        self.save_hyperparameters({"lr": 0.5})


def test_noise_depends_on_seed_and_epoch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for epoch in (0, 1, 0):
        module = Small()
        monkeypatch.setattr(SeededModule, "current_epoch", epoch)
        module.on_train_epoch_start()
        drawn.append(torch.rand(3, generator=module.generator))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_a_loss_that_is_not_finite_names_the_learning_rate() -> None:
    module = Small()
    module.check_finite(torch.tensor([1.0, 2.0]))
    for value in (float("nan"), float("inf"), 1e30):
        with pytest.raises(UserError, match=r"lower lr, which is 0\.5"):
            module.check_finite(torch.tensor([1.0, value]))


def test_losses_are_means_over_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    module, logged = Small(), {}
    monkeypatch.setattr(Small, "trainer", SimpleNamespace(is_last_batch=False), raising=False)
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    module.record(0, loss=torch.tensor(1.0), sure=torch.tensor(4.0))
    assert not logged
    monkeypatch.setattr(Small, "trainer", SimpleNamespace(is_last_batch=True), raising=False)
    module.record(1, loss=torch.tensor(3.0), sure=torch.tensor(0.0))
    assert {name: float(value) for name, value in logged.items()} == {"loss": 2.0, "sure": 2.0}
