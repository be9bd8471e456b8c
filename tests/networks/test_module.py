"""What all networks share: generators and weights by seed, layers, losses that are not finite."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from jojoscl.networks.module import SeededModule, layers, weights_from
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings, setting


@dataclass(kw_only=True)
class Rate(Settings):
    """A learning rate alone."""

    lr: float = setting(0.5, "Learning rate.")


class Small(SeededModule):
    """A module without layers."""

    def __init__(self) -> None:
        super().__init__(Rate(), seed=3, n_genes=7)


def test_noise_depends_on_seed_and_epoch_alone(monkeypatch):
    drawn = []
    for epoch in (0, 1, 0):
        module = Small()
        monkeypatch.setattr(SeededModule, "current_epoch", epoch)
        module.on_train_epoch_start()
        drawn.append(torch.rand(3, generator=module.generator))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_a_loss_that_is_not_finite_is_one_sentence():
    module = Small()
    module.check_finite(torch.tensor([1.0, 2.0]))
    for value in (float("nan"), float("inf"), 1e30):
        with pytest.raises(UserError, match="lower the learning rate"):
            module.check_finite(torch.tensor([1.0, value]))


def test_the_losses_of_an_epoch_are_finite(monkeypatch):
    module, logged = Small(), {}
    monkeypatch.setattr(Small, "trainer", SimpleNamespace(is_last_batch=True), raising=False)
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    module.record(loss=torch.tensor(3.0), sure=torch.tensor(0.0))
    assert {name: float(value) for name, value in logged.items()} == {"loss": 3.0, "sure": 0.0}
    with pytest.raises(UserError, match="diverged"):
        module.record(loss=torch.tensor(torch.nan))


def test_checkpoints_hold_settings_seed_and_size():
    assert dict(Small().hparams) == {"lr": 0.5, "seed": 3, "n_genes": 7}


def test_layers():
    for norm, last_relu in ((True, True), (True, False), (False, False)):
        hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU] if norm else [nn.Linear, nn.ReLU]
        found = [type(layer) for layer in layers([20, 16, 8], norm=norm, last_relu=last_relu)]
        assert found == hidden + (hidden if last_relu else [nn.Linear])
    assert layers([20, 16, 8], norm=True, last_relu=True)(torch.randn(10, 20)).shape == (10, 8)


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with weights_from(3):
        one = torch.nn.Linear(4, 4).weight
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    with weights_from(3):
        assert torch.equal(torch.nn.Linear(4, 4).weight, one)
    with weights_from(4):
        assert not torch.equal(torch.nn.Linear(4, 4).weight, one)
