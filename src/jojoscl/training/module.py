"""What all LightningModules here share: seeded generators, mean losses, the momentum update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jojoscl.model.losses import nt_xent
from jojoscl.model.networks import momentum_update
from jojoscl.utils.devices import sent
from jojoscl.utils.seeding import derived_seed


class SeededModule(L.LightningModule):
    """A LightningModule with a random generator renewed every epoch, and losses logged once an epoch.

    A subclass sets `seed`, draws from `generator` on its own device, and calls :meth:`record` in each step.
    """

    seed: int
    splits_batches = False  # whether its losses are those of the whole batch where several processes share it
    generator: torch.Generator
    cpu_generator: torch.Generator  # the same one on a CPU
    _sums: Tensor

    def on_train_epoch_start(self) -> None:
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(derived_seed(self.seed, self.current_epoch, self.global_rank))
        on_cpu = self.device.type == "cpu"
        self.cpu_generator = self.generator if on_cpu else torch.Generator().manual_seed(self.generator.initial_seed())

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return tuple(sent(part, device) for part in batch)

    def record(self, batch_idx: int, **losses: Tensor) -> None:
        """Add losses (scalars) to the epoch's means. Lightning's own means cost a tenth of a step on a CPU."""
        values = torch.stack(list(losses.values())).detach()
        self._sums = values if batch_idx == 0 else self._sums + values
        if self.trainer.is_last_batch:
            means = self._sums / (batch_idx + 1)
            self.log_dict(
                dict(zip(losses, means, strict=True)),
                on_step=False, on_epoch=True, batch_size=1, logger=False, sync_dist=True,
            )  # fmt: skip


class MomentumModule(SeededModule):
    """A module with `query` and `key`, the running mean of its weights (He et al. 2020), updated once a step."""

    query: nn.Module
    key: nn.Module
    momentum: float
    max_epochs: int
    splits_batches = True
    updates = 0
    shrinks_mean = False  # whether SURE shrinks the first view or the mean of both
    two_views: Callable[[Tensor], dict[str, Tensor]]
    views: tuple[Tensor, Tensor, Tensor] | None = None  # of the last batch: two embeddings (B, P) and the cells' index
    hyper: dict[str, Any]
    queue: Tensor

    def make_queue(self) -> None:
        """Past keys (Q, d), in the checkpoint; at first random directions, as in He et al. 2020."""
        rng = torch.Generator().manual_seed(derived_seed(self.seed, self.hyper["queue"]))
        keys = torch.randn(self.hyper["queue"], self.hyper["instance_dims"][-1], generator=rng)
        self.register_buffer("queue", F.normalize(keys))

    def instance_loss(self, z: Tensor, z_key: Tensor) -> Tensor:
        """Contrast of cells (B, d) with their keys, which then join the queue, and the oldest leave."""
        loss = nt_xent(z, z_key, self.hyper["temperature"], self.queue)
        if len(self.queue):
            self.queue.copy_(torch.cat([self.queue, z_key.detach()])[-len(self.queue) :])
        return loss

    def on_train_batch_end(self, *args: Any) -> None:
        if self.global_step > self.updates:  # not after batches that only accumulate gradients
            momentum_update(self.key, self.query, self.momentum)
            self.updates = self.global_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["momentum_updates"] = self.updates

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.updates = checkpoint["momentum_updates"]
