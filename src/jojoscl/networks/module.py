"""What all networks share: seeded generators and weights, plain layers, mean losses, processes."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from jojoscl.utils.errors import UserError
from jojoscl.utils.seeding import derived_seed
from jojoscl.utils.settings import Settings


class SeededModule(L.LightningModule):
    """A LightningModule with a new random generator and the means of its losses every epoch.

    A subclass draws from `generator` and calls :meth:`record` in each step. Checkpoints hold
    `settings`, `seed` and `size` as plain values; a later call compares them with its own.
    """

    splits_batches = False  # whether several processes may share a batch
    generator: torch.Generator

    def __init__(self, settings: Settings, *, seed: int, **size: int) -> None:
        super().__init__()
        self.save_hyperparameters(dataclasses.asdict(settings) | size | {"seed": seed})
        self.settings, self.seed = settings, seed

    def on_train_epoch_start(self) -> None:
        seed = derived_seed(self.seed, self.current_epoch, self.global_rank)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def record(self, **losses: Tensor) -> None:
        """Add losses (scalars) to the epoch's means; they must be finite at its end."""
        if self.trainer.is_last_batch:  # a check in each step would wait for a GPU
            self.check_finite(torch.stack([*losses.values()]))
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)

    def check_finite(self, x: Tensor) -> None:
        """Raise a :class:`UserError` unless the rows of x (..., d) have a finite length."""
        if not x.square().sum(-1).isfinite().all():
            raise UserError(
                "The training diverged, its numbers are no longer finite: "
                "lower the learning rate or the weights of the losses."
            )


def adam_with_cosine(module: nn.Module, lr: float, period: int) -> OptimizerLRScheduler:
    """Return Adam for what is trained of `module`, with a cosine of the learning rate."""
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=lr, fused=True)
    return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=period)]


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Let layers that are made in the block draw their weights from `seed`.

    Torch's global generator is not changed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        yield


def layers(dims: Sequence[int], *, norm: bool, last_relu: bool) -> nn.Sequential:
    """Return linear layers of these widths with ReLU, and with `norm` BatchNorm, between them.

    With `last_relu` both follow the last layer too.
    """
    parts: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(dims):
        parts += [nn.Linear(n_in, n_out), *([nn.BatchNorm1d(n_out)] if norm else []), nn.ReLU()]
    return nn.Sequential(*(parts if last_relu else parts[: -2 if norm else -1]))


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process and of all processes: (0, 1) if there is only one."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def gather(x: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of the batch: (b, ...) -> (b * world, ...).

    All processes must give the same number of rows and compute the same loss of the result. The
    gradient in `x` is then the sum of those of all processes, and DDP averages it: what is left is
    the gradient of the whole batch.
    """
    return torch.cat(all_gather(x)) if dist.is_initialized() else x
