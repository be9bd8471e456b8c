"""A checkpoint that is damaged, or that another module or run has made, is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jojoscl.networks.checkpoint import load_checkpoint
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit
from jojoscl.networks.paper import PaperJojoSCL, PaperModule
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError

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


def test_a_flipped_byte_is_refused_or_changes_nothing(checkpoint: bytes, tmp_path: Path) -> None:
    path, refused = tmp_path / "last.ckpt", 0
    path.write_bytes(checkpoint)
    whole = load_checkpoint(path, module())["state_dict"]
    for where in np.random.default_rng(0).choice(len(checkpoint), 100, replace=False):
        content = bytearray(checkpoint)
        content[where] ^= 1 << 3
        path.write_bytes(content)
        try:
            found = load_checkpoint(path, module())["state_dict"]
        except UserError as error:
            assert "is damaged" in str(error)  # noqa: PT017
            refused += 1
        else:  # a name or a date of the archive
            assert all(torch.equal(found[name], x) for name, x in whole.items())
    assert refused > 60


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_cut_file_is_refused(share: float, checkpoint: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(checkpoint[: int(share * len(checkpoint))])
    with pytest.raises(UserError, match="damaged: delete it, or start anew by force=true"):
        load_checkpoint(tmp_path / "last.ckpt", module())


def test_a_good_one_is_plain_and_fits_one_module_and_one_run(
    checkpoint: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(checkpoint)
    state = torch.load(path, weights_only=True)
    assert state["hyper_parameters"]["preprocess"]["n_top_genes"] == METHOD.preprocess.n_top_genes
    assert load_checkpoint(path, module())["epoch"] == 0
    with pytest.raises(UserError, match="other settings of the data or the training"):
        load_checkpoint(path, module(config_hash="abd"))
    with pytest.raises(UserError, match=r"\(seed: 0 there, 1 here\)"):
        load_checkpoint(path, module(seed=1, config_hash="abd"))
