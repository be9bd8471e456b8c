"""What ends a training other than its last epoch: keys, signals, numbers that are not finite."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
from anndata import AnnData

from jojoscl.cells.checks import without_labels
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.contrastive_sc import ContrastiveSC
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper.method import PaperJojoSCL, ReleasedJojoSCL
from jojoscl.networks.scdeepcluster import ScDeepCluster
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError

QUIET = Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False))
SMALL: dict[str, Any] = {"encoder_dims": [16, 8]}


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return without_labels(simulate(n_cells=100, n_genes=100, n_types=3, seed=1))


class Ends(L.Callback):
    """Does something as the second epoch begins."""

    def __init__(self, how: Callable[[], None]) -> None:
        self.how = how

    def on_train_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        if trainer.current_epoch == 1:
            self.how()


def interrupt() -> None:
    raise KeyboardInterrupt


class Stopped(BaseException):
    pass


def stopped(*_: object) -> None:
    raise Stopped


def train(how: Callable[[], None]) -> None:
    x = np.random.default_rng(0).standard_normal((20, 6), dtype=np.float32)
    module = PaperJojoSCL(encoder_dims=[8, 4], sure="none").module(6, 2, 20, seed=0, epochs=3)
    fit(module, CellDataModule(x), QUIET, max_epochs=3, callbacks=[Ends(how)])


def test_a_keyboard_interrupt_comes_through_and_signals_are_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train(interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(lambda: signal.raise_signal(signal.SIGINT))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_to_end_reaches_the_handler_of_the_program() -> None:
    before = signal.signal(signal.SIGTERM, stopped)
    try:
        with pytest.raises(Stopped):
            train(lambda: signal.raise_signal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) is stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, cwd=folder, check=False
    )


def test_a_signal_to_end_ends_a_program_that_does_not_handle_it(tmp_path: Path) -> None:
    done = script(
        """
        import signal
        import lightning as L, numpy as np
        from jojoscl.networks.paper.method import PaperJojoSCL
        from jojoscl.networks.datamodule import CellDataModule
        from jojoscl.networks.fit import fit
        from jojoscl.networks.settings import Run

        class Ends(L.Callback):
            def on_train_epoch_start(self, trainer, module):
                signal.raise_signal(signal.SIGTERM)

        data = CellDataModule(np.ones((20, 6), np.float32))
        module = PaperJojoSCL(encoder_dims=[8, 4], sure="none").module(6, 2, 20, seed=0, epochs=3)
        fit(module, data, Run(), max_epochs=3, callbacks=[Ends()])
        """,
        tmp_path,
    )
    assert done.returncode == -signal.SIGTERM, done.stderr


@pytest.mark.parametrize(
    ("method", "rate"),
    [
        (PaperJojoSCL(lr=1e30, epochs=3, **SMALL), "lr, which is 1e.30"),
        (ReleasedJojoSCL(lr=1e30, epochs=3, **SMALL), "lr, which is 1e.30"),
        (PaperJojoSCL(lambda_=1e38, epochs=3, **SMALL), "the weights of the losses"),
        (ContrastiveSC(lr=1e30, epochs=3, **SMALL), "lr, which is 1e.30"),
        (
            ScDeepCluster(pretrain_lr=1e30, pretrain_epochs=5, **SMALL),
            "pretrain_lr, which is 1e.30",
        ),
        (
            ScDeepCluster(lr=1e38, epochs=5, pretrain_epochs=2, kmeans_starts=1, **SMALL),
            "lower lr, which is 1e.38",
        ),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_training_that_diverges_is_one_sentence(method: Any, rate: str, cells: AnnData) -> None:
    with pytest.raises(UserError, match=rf"diverged.*{rate}") as caught:
        method.fit_predict(cells, 3, run=QUIET)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings(
    "ignore:Number of distinct clusters"
)  # where all cells end at one point
@pytest.mark.parametrize("method", [PaperJojoSCL, ReleasedJojoSCL, ContrastiveSC, ScDeepCluster])
def test_a_rate_of_ten_thousand_gives_clusters_or_a_sentence(method: Any, cells: AnnData) -> None:
    short = {"pretrain_epochs": 3} if method is ScDeepCluster else {}
    try:
        result = method(lr=1e4, epochs=5, **short).fit_predict(cells, 3, run=QUIET)
    except UserError as error:
        assert "diverged" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(result.embedding).all()
