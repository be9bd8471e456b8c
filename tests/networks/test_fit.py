"""What ends a training other than its last epoch, and what a later call goes on from."""

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from jojoscl.networks.contrastive_sc import ContrastiveSC
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit, load_checkpoint
from jojoscl.networks.paper import PaperJojoSCL, PaperModule, ReleasedJojoSCL
from jojoscl.networks.scdeepcluster import ScDeepCluster
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError
from tests.small import assert_refused

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


def test_a_keyboard_interrupt_comes_through_and_signals_are_as_before():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    for how in (raises(KeyboardInterrupt()), lambda: signal.raise_signal(signal.SIGINT)):
        with pytest.raises(KeyboardInterrupt):
            train(how)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_to_end_reaches_the_handler_of_the_program():
    handler = raises(ZeroDivisionError())
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(ZeroDivisionError):
            train(lambda: signal.raise_signal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_training_that_diverges_is_one_sentence(bare):
    methods = (
        PaperJojoSCL(lr=1e30, epochs=3, **SMALL),
        ReleasedJojoSCL(lr=1e30, epochs=3, **SMALL),
        PaperJojoSCL(lambda_=1e38, epochs=3, **SMALL),
        ContrastiveSC(lr=1e30, epochs=3, **SMALL),
        ScDeepCluster(pretrain_lr=1e30, pretrain_epochs=5, **SMALL),
        ScDeepCluster(lr=1e38, pretrain_epochs=2, epochs=5, **SMALL),
    )
    assert_refused(
        lambda method: method.fit_predict(bare, 3, run=QUIET),
        *[(method, r"diverged.*lower the learning rate") for method in methods],
    )


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_a_rate_of_ten_thousand_gives_clusters_or_a_sentence(bare, subtests):
    for method in [PaperJojoSCL, ReleasedJojoSCL, ContrastiveSC, ScDeepCluster]:
        with subtests.test(method=method):
            short = {"pretrain_epochs": 3} if method is ScDeepCluster else {}
            try:
                result = method(lr=1e4, epochs=5, **short).fit_predict(bare, 3, run=QUIET)
            except UserError as error:
                assert "diverged" in str(error)  # noqa: PT017
            else:
                assert np.isfinite(result.embedding).all()


# ---- checkpoints ---------------------------------------------------------------------------------

METHOD = PaperJojoSCL(encoder_dims=[8, 4], instance_dims=[4], cluster_dims=[4], sure="none")


def module(*, seed: int = 0, config_hash: str = "abc") -> PaperModule:
    size = {"n_genes": 6, "n_clusters": 2, "n_cells": 20}
    made = PaperModule(METHOD, **size, seed=seed, max_epochs=2)
    made.hparams["config_hash"] = config_hash
    return made


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("run")
    how = TrainerSettings(accelerator="cpu", progress_bar=False, checkpoint_seconds=0)
    x = np.random.default_rng(0).standard_normal((20, 6), dtype=np.float32)
    run = Run(folder, trainer=how, config_hash="abc")
    fit(module(), CellDataModule(x), run, max_epochs=1)
    return (folder / "last.ckpt").read_bytes()


def test_a_cut_file_is_refused(checkpoint, tmp_path):
    path = tmp_path / "last.ckpt"

    def load(share: float) -> None:
        path.write_bytes(checkpoint[: int(share * len(checkpoint))])
        load_checkpoint(path, module())

    words = "damaged: delete it, or start anew by force=true"
    assert_refused(load, *[(share, words) for share in (0, 0.5, 0.999)])


def test_a_good_one_is_plain_and_fits_one_module_and_one_run(checkpoint, tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(checkpoint)
    state = torch.load(path, weights_only=True)
    assert state["hyper_parameters"]["preprocess"]["n_top_genes"] == METHOD.preprocess.n_top_genes
    assert load_checkpoint(path, module())["epoch"] == 0
    with pytest.raises(UserError, match=r"\(config_hash: abc there, abd here\): choose"):
        load_checkpoint(path, module(config_hash="abd"))
    with pytest.raises(UserError, match=r"other settings \(seed: 0 there, 1 here\)"):
        load_checkpoint(path, module(seed=1, config_hash="abd"))


def test_an_oracle_is_refused_where_the_last_epoch_is_kept(method, bare, quiet):
    with pytest.raises(UserError, match="keeps the last epoch"):
        method("contrastive_sc").fit_predict(bare, 3, run=quiet, oracle=lambda labels: {})


def test_a_call_that_goes_on_says_what_was_trained_earlier(method, bare, quiet, tmp_path):
    run = replace(quiet, folder=tmp_path)
    short = method("contrastive_sc", "epochs=2")
    first = short.fit_predict(bare, 3, run=run)
    assert {"preprocess", "train", "assign", "other"} == set(first.seconds)
    again = short.fit_predict(bare, 3, run=run)
    assert again.seconds["earlier"] > 0
    assert again.history == first.history
