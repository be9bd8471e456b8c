"""Weights & Biases beside the run folder: it mirrors what `metrics.json` holds, and can neither stop nor slow a run."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from jojoscl.runner.config import Plain
from jojoscl.utils.errors import UserError

log = logging.getLogger(__name__)
Action = TypeVar("Action", bound=Callable[..., None])


def _guarded(action: Action) -> Action:
    """Make an error of W&B one warning, after which nothing more is sent."""

    @functools.wraps(action)
    def wrapped(self: Wandb, *args: object, **kwargs: object) -> None:
        if self._dead:
            return
        try:
            action(self, *args, **kwargs)
        except Exception as error:  # a mirror is worth no run
            self._dead = True
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning("W&B has nothing more of this run (%s); metrics.json has it all.", reason)

    return wrapped  # type: ignore[return-value]


class Wandb:
    """One W&B run for one job. Whatever fails in W&B is said in one warning, and nothing more is sent.

    `timeout` bounds, in seconds, the wait for a server at the start and at the end; between them
    W&B sends from a process of its own. `names` is what else `wandb.init` takes: project, group,
    name, tags ...
    """

    def __init__(
        self, *, id: str, save_dir: str, offline: bool, timeout: float, **names: Any
    ) -> None:
        if find_spec("wandb") is None:
            raise UserError("logger=wandb needs wandb: pip install 'jojoscl[wandb]'.")
        self.id = re.sub(r"[^\w-]", "-", id)
        self.folder, self.offline, self.timeout, self.names = save_dir, offline, timeout, names
        self._run: Any = None
        self._dead = self._done = False

    @_guarded
    def start(self, config: Mapping[str, object]) -> None:
        """Begin the W&B run of a job with this configuration."""
        import wandb

        Path(self.folder).mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            id=self.id,
            dir=self.folder,
            config=dict(config),
            mode="offline"
            if self.offline
            else "online",  # not by WANDB_MODE, which would outlive the job
            resume="allow",
            reinit="create_new",  # another job's run in this process is left alone
            settings=wandb.Settings(
                console="off",
                silent=True,
                **dict.fromkeys(("init_timeout", "login_timeout", "finish_timeout"), self.timeout),
            ),
            **self.names,
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")

    @_guarded
    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Send the losses of an epoch."""
        self._run.log({"epoch": step, **metrics})

    @_guarded
    def log_results(self, folder: Path, metrics: Plain) -> None:
        """Send all of `metrics` as the summary, its scalars as a table of one row, and the pictures in `folder`."""
        import wandb

        row = {name: value for name, value in metrics.items() if not isinstance(value, dict | list)}
        images = {path.stem: wandb.Image(str(path)) for path in folder.glob("*.png")}
        self._run.log(
            {"results": wandb.Table(columns=list(row), data=[list(row.values())]), **images}
        )
        self._run.summary.update(metrics)
        self._done = True

    @_guarded
    def close(self) -> None:
        """End the W&B run; as failed, if it has no results. Not in `finalize`, which ends each stage of a training."""
        self._run.finish(exit_code=0 if self._done else 1)
        self._dead = True
