"""What ends a training other than its last epoch: keys, signals, numbers that are not finite."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
from anndata import AnnData

from jojoscl.networks.contrastive_sc import ContrastiveSC
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper import PaperJojoSCL, PaperModule, ReleasedJojoSCL
from jojoscl.networks.scdeepcluster import ScDeepCluster
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError
from tests import children

QUIET = Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False))
SMALL: dict[str, Any] = {"encoder_dims": [16, 8]}


class Ends(L.Callback):
    """Does something as the second epoch begins."""

    def __init__(self, how: Callable[[], None]) -> None:
        self.how = how

    def on_train_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        if trainer.current_epoch == 1:
            self.how()


def raises(error: BaseException) -> Callable[..., None]:
    def ends(*_: object) -> None:
        raise error

    return ends


def train(how: Callable[[], None]) -> None:
    settings = PaperJojoSCL(encoder_dims=[8, 4], sure="none")
    size = {"n_genes": 6, "n_clusters": 2, "n_cells": 20}
    module = PaperModule(settings, **size, seed=0, max_epochs=3)
    data = CellDataModule(np.random.default_rng(0).standard_normal((20, 6), dtype=np.float32))
    fit(module, data, QUIET, max_epochs=3, callbacks=[Ends(how)])


def test_a_keyboard_interrupt_comes_through_and_signals_are_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    for how in (raises(KeyboardInterrupt()), lambda: signal.raise_signal(signal.SIGINT)):
        with pytest.raises(KeyboardInterrupt):
            train(how)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_to_end_reaches_the_handler_of_the_program() -> None:
    handler = raises(ZeroDivisionError())
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(ZeroDivisionError):
            train(lambda: signal.raise_signal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_to_end_ends_a_program_that_does_not_handle_it(tmp_path: Path) -> None:
    code = f"""
import signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_fit
test_fit.train(lambda: signal.raise_signal(signal.SIGTERM))
"""
    code_of_exit, _, err = children.start(code, folder=tmp_path).ended()
    assert code_of_exit == -signal.SIGTERM, err


@pytest.mark.parametrize(
    ("method", "rate"),
    [
        (PaperJojoSCL(lr=1e30, epochs=3, **SMALL), "lr, which is 1e.30"),
        (ReleasedJojoSCL(lr=1e30, epochs=3, **SMALL), "lr, which is 1e.30"),
        (PaperJojoSCL(lambda_=1e38, epochs=3, **SMALL), "the weights of the losses"),
        (ContrastiveSC(lr=1e30, epochs=3, **SMALL), "lr, which is 1e.30"),
        (ScDeepCluster(pretrain_lr=1e30, pretrain_epochs=5, **SMALL), "pretrain_lr, which is 1e"),
        (ScDeepCluster(lr=1e38, pretrain_epochs=2, epochs=5, **SMALL), "lower lr, which is 1e.38"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_training_that_diverges_is_one_sentence(method: Any, rate: str, bare: AnnData) -> None:
    with pytest.raises(UserError, match=rf"diverged.*{rate}") as caught:
        method.fit_predict(bare, 3, run=QUIET)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # all cells end at one point
@pytest.mark.parametrize("method", [PaperJojoSCL, ReleasedJojoSCL, ContrastiveSC, ScDeepCluster])
def test_a_rate_of_ten_thousand_gives_clusters_or_a_sentence(method: Any, bare: AnnData) -> None:
    short = {"pretrain_epochs": 3} if method is ScDeepCluster else {}
    try:
        result = method(lr=1e4, epochs=5, **short).fit_predict(bare, 3, run=QUIET)
    except UserError as error:
        assert "diverged" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(result.embedding).all()
