"""Random numbers by seed and epoch alone, so that a resumed run draws what an unbroken one would."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from jojoscl.devices import sent


def derived_seed(*parts: int) -> int:
    """One 63-bit seed from several integers, such as (seed, epoch, rank); any change gives an unrelated stream."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def at_most(x: Any, limit: int, *, seed: int) -> Any:
    """All rows of x or, where they are more than `limit`, a random sample of so many, in their order."""
    some = len(x) > limit
    return x[np.sort(np.random.default_rng(seed).choice(len(x), limit, replace=False)) if some else slice(None)]


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
