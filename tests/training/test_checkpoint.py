"""A checkpoint whose bytes are not those that were written is refused, wherever they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from jojoscl.training.checkpoint import load_fitting, load_sealed, seal
from jojoscl.utils.errors import UserError
from tests.hostile import METHOD, trained

SENTENCE = "is not a checkpoint that can be read, or is damaged: delete it, or start anew by force=true"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("run")
    trained(folder)
    return (folder / "last.ckpt").read_bytes()


@pytest.mark.parametrize("where", [0, 1, 40, 0.1, 0.3, 0.5, 0.7, 0.9, -87, -66, -65, -64, -30, -1])
def test_a_flipped_byte_anywhere_is_refused(where: float, checkpoint: bytes, tmp_path: Path) -> None:
    content = bytearray(checkpoint)
    content[int(where * len(content)) if isinstance(where, float) else where] ^= 1 << 3
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=SENTENCE):
        trained(tmp_path, 2)


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65, 0.5, -1, -64])
def test_a_cut_file_is_refused(kept: float, checkpoint: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(checkpoint[: int(kept * len(checkpoint)) if isinstance(kept, float) else kept])
    with pytest.raises(UserError, match=SENTENCE):
        trained(tmp_path, 2)


def test_bytes_at_the_end_and_files_without_a_seal_are_refused(checkpoint: bytes, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(checkpoint + b"x")
    with pytest.raises(UserError, match=SENTENCE):
        load_sealed(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match=SENTENCE):
        load_sealed(path)
    seal(path)
    assert load_sealed(path) == {"state_dict": {}}


def test_a_good_one_is_read_by_torch_alone_and_holds_plain_settings(checkpoint: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(checkpoint)
    state: dict[str, Any] = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["hyper_parameters"]["encoder_dims"] == [8, 4]
    assert state["hyper_parameters"]["preprocess"]["n_top_genes"] == METHOD.preprocess.n_top_genes
    module = METHOD.module(6, 2, 20, seed=0, epochs=2)
    assert load_fitting(tmp_path / "last.ckpt", module, "abc")["epoch"] == 0
    with pytest.raises(UserError, match="other settings of the data"):
        load_fitting(tmp_path / "last.ckpt", module, "abd")
    with pytest.raises(UserError, match=r"\(seed: 0 there, 1 here\)"):
        load_fitting(tmp_path / "last.ckpt", METHOD.module(6, 2, 20, seed=1, epochs=2), "abc")
