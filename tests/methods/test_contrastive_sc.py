"""Contrastive-sc is made of JojoSCL's parts."""

from __future__ import annotations

import torch
from torch import nn

from jojoscl.methods.contrastive_sc import ContrastiveSCModule
from jojoscl.model.linear import Linear


def test_contrastive_sc_ends_in_a_linear_layer_and_takes_a_step() -> None:
    net = ContrastiveSCModule(20, seed=0, encoder_dims=[16, 8, 6], mask_rate=0.5, temperature=0.07, lr=0.1, lr_period=5)
    kinds = [type(layer) for layer in net.encoder]
    assert kinds == [Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [Linear]
    net.generator = torch.Generator().manual_seed(0)
    net.record = lambda *args, **losses: None  # no trainer
    loss = net.training_step((torch.randn(10, 20), torch.arange(10)), 0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in net.parameters())
