"""What all LightningModules here share: seeded generators and mean losses."""

from __future__ import annotations

import dataclasses

import lightning as L
import torch
from torch import Tensor

from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import derived_seed
from jojoscl.utils.settings import Settings


class SeededModule(L.LightningModule):
    """A LightningModule with a new random generator and the means of its losses every epoch.

    A subclass sets `seed`, draws from `generator` and calls :meth:`record` in each step.
    """

    seed: int
    splits_batches = False  # whether several processes may share a batch
    rate = "lr"  # the setting to lower if training diverges
    generator: torch.Generator
    _sums: Tensor

    def keep(self, settings: Settings, **more: int) -> None:
        """Write `settings` and `more` into checkpoints, as plain values.

        A later call compares them with its own.
        """
        self.save_hyperparameters(dataclasses.asdict(settings) | more)

    def on_train_epoch_start(self) -> None:
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(derived_seed(self.seed, self.current_epoch, self.global_rank))

    def record(self, batch_idx: int, **losses: Tensor) -> None:
        """Add losses (scalars) to the epoch's means.

        Lightning's own means would take a tenth of the time of a step on a CPU.
        """
        values = torch.stack(list(losses.values())).detach()
        self._sums = values if batch_idx == 0 else self._sums + values
        if self.trainer.is_last_batch:
            means = self._sums / (batch_idx + 1)
            self.check_finite(means)
            self.log_dict(
                dict(zip(losses, means, strict=True)),
                on_step=False, on_epoch=True, batch_size=1, logger=False, sync_dist=True,
            )  # fmt: skip

    def check_finite(self, x: Tensor) -> None:
        """Raise a :class:`UserError` unless the rows of x (..., d) have a finite length."""
        if not x.square().sum(-1).isfinite().all():
            raise UserError(
                f"The training diverged, its numbers are no longer finite: lower {self.rate}, "
                f"which is {self.hparams[self.rate]:g}, or the weights of the losses."
            )
