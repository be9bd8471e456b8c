"""Weights & Biases beside the run folder: it shows what `metrics.json` holds."""

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from omegaconf import OmegaConf

from jojoscl.runner.config import Plain, Resolved
from jojoscl.utils.errors import check_installed
from jojoscl.utils.settings import Settings, setting

log = logging.getLogger(__name__)

SECONDS = 20  # to wait for the server
_WAITS = ("init_timeout", "login_timeout", "finish_timeout")


@dataclass(kw_only=True)
class Wandb(Settings):
    """One W&B run for one job. If W&B fails, the run continues with a warning.

    W&B itself reads more from the environment, such as WANDB_ENTITY and WANDB_TAGS.
    """

    project: str = setting("jojoscl", "The project of W&B.")
    group: str | None = setting(None, "The group of the run.")
    offline: bool = setting(True, "Whether to write to the run's folder only, for `wandb sync`.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_installed("logger=wandb", "wandb", "wandb")
        self._run: Any = None

    @contextlib.contextmanager
    def started(self, folder: Path, job: Resolved) -> Iterator[Self]:
        """Keep a W&B run open in this block.

        A resumed job continues its own W&B run. If the block raises, W&B shows the run as failed.
        """
        with self._warned():
            import wandb

            self._run = wandb.init(
                id=re.sub(r"[^\w-]", "-", f"{job.settings.name}-{job.config_hash}"),
                name=job.folder,
                project=self.project,
                group=self.group,
                dir=folder,
                config=OmegaConf.to_container(job.cfg, resolve=True),  # type: ignore[arg-type]
                # Not by WANDB_MODE, which would outlive the job.
                mode="offline" if self.offline else "online",
                resume="allow",
                reinit="create_new",  # another job's run in this process is left alone
                settings=wandb.Settings(
                    console="off", silent=True, **dict.fromkeys(_WAITS, SECONDS)
                ),
            )
        code = 1
        try:
            yield self
            code = 0
        finally:
            with self._warned():
                self._run.finish(exit_code=code)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Send the losses of an epoch."""
        with self._warned():
            self._run.log({"epoch": step, **metrics}, step=step)

    def log_results(self, folder: Path, metrics: Plain) -> None:
        """Send `metrics` as the summary, and the pictures in `folder`."""
        with self._warned():
            import wandb

            self._run.log({path.stem: wandb.Image(str(path)) for path in folder.glob("*.png")})
            self._run.summary.update(metrics)

    @contextlib.contextmanager
    def _warned(self) -> Iterator[None]:
        """Make the first error of W&B a warning; those that follow from it are silent."""
        try:
            yield
        except Exception as error:
            if self._run is not False:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                log.warning("W&B has no more of this run (%s); metrics.json has all.", reason)
            self._run = False
