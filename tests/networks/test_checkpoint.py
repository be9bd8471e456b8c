"""A checkpoint whose values are not those that were written is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jojoscl.networks.checkpoint import load_checkpoint
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper.method import PaperJojoSCL
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError

METHOD = PaperJojoSCL(encoder_dims=[8, 4], instance_dims=[4], cluster_dims=[4], sure="none")
SENTENCE = (
    "is not a checkpoint that can be read, or is damaged: delete it, or start anew by force=true"
)


def trained(folder: Path, n_epochs: int = 1) -> None:
    """Train 20 cells, or go on from ``last.ckpt`` in `folder`."""
    x = np.random.default_rng(0).standard_normal((20, 6), dtype=np.float32)
    how = TrainerSettings(accelerator="cpu", progress_bar=False, checkpoint_seconds=0)
    run = Run(folder, trainer=how, config_hash="abc")
    module = METHOD.module(6, 2, 20, seed=0, epochs=2)
    fit(module, CellDataModule(x), run, max_epochs=n_epochs)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("run")
    trained(folder)
    return (folder / "last.ckpt").read_bytes()


def test_a_flipped_byte_is_refused_or_changes_nothing(checkpoint: bytes, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(checkpoint)
    module = METHOD.module(6, 2, 20, seed=0, epochs=2)
    module.hparams["config_hash"] = "abc"
    whole, refused = load_checkpoint(path, module)["state_dict"], 0
    for where in np.random.default_rng(0).choice(len(checkpoint), 100, replace=False):
        content = bytearray(checkpoint)
        content[where] ^= 1 << 3
        path.write_bytes(content)
        try:
            found = load_checkpoint(path, module)["state_dict"]
        except UserError as error:
            assert re.search(SENTENCE, str(error))  # noqa: PT017
            refused += 1
        else:  # a name or a date of the archive
            assert all(torch.equal(found[name], x) for name, x in whole.items())
    assert refused > 60


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_cut_file_is_refused(share: float, checkpoint: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(checkpoint[: int(share * len(checkpoint))])
    with pytest.raises(UserError, match=SENTENCE):
        trained(tmp_path, 2)


def test_a_good_one_is_read_by_torch_alone_and_holds_plain_settings(
    checkpoint: bytes, tmp_path: Path
) -> None:
    (tmp_path / "last.ckpt").write_bytes(checkpoint)
    state: dict[str, Any] = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["hyper_parameters"]["encoder_dims"] == [8, 4]
    assert state["hyper_parameters"]["preprocess"]["n_top_genes"] == METHOD.preprocess.n_top_genes
    for seed, config_hash, words in (
        (0, "abd", "other settings of the data or the training"),
        (1, "abd", r"\(seed: 0 there, 1 here\)"),
    ):
        module = METHOD.module(6, 2, 20, seed=seed, epochs=2)
        module.hparams["config_hash"] = config_hash
        with pytest.raises(UserError, match=words):
            load_checkpoint(tmp_path / "last.ckpt", module)
