"""Contrastive-sc is made of JojoSCL's parts."""

import torch
from torch import nn

from jojoscl.networks.contrastive_sc import ContrastiveSCModule


def test_contrastive_sc_ends_in_a_linear_layer_and_takes_a_step(method):
    settings = method("contrastive_sc", "encoder_dims=[16,8,6]", "mask_rate=0.5")
    net = ContrastiveSCModule(settings, n_genes=20, seed=0)
    kinds = [type(layer) for layer in net.encoder]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Linear]
    net.generator = torch.Generator().manual_seed(0)
    net.record = lambda *args, **losses: None  # no trainer
    loss = net.training_step((torch.randn(10, 20), torch.arange(10)), 0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in net.parameters())
