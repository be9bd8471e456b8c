"""A YAML file names a class; only the classes that a command chooses are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from jojoscl.baselines.controls import PCAKMeans
from jojoscl.runner.registry import build, class_of
from jojoscl.utils.errors import UserError

TARGET = "jojoscl.baselines.controls.PCAKMeans"


def test_build() -> None:
    made = build(OmegaConf.create({"_target_": TARGET, "n_pcs": 7, "about": {"summary": "x"}}))
    assert isinstance(made, PCAKMeans)
    assert made.n_pcs == 7
    with pytest.raises(UserError, match="n_pc"):
        build(OmegaConf.create({"_target_": TARGET, "n_pc": 7}))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("jojoscl.baselines.controls.PCAKmeans", "cannot be imported"),
        ("jojoscl.baseline.PCAKMeans", "cannot be imported"),
        ("PCAKMeans", "cannot be imported"),
        ("os.system", "is no class of settings"),
        (None, "cannot be imported"),
    ],
)
def test_what_is_no_class_of_settings_is_refused(target: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        class_of(target)


def test_a_value_in_place_of_a_group_is_refused() -> None:
    with pytest.raises(UserError, match="stands where a group of settings belongs"):
        build(3)  # type: ignore[arg-type]


def test_a_new_baseline_is_one_class_and_one_yaml(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from jojoscl.baselines.controls import RandomLabels\n"
        "@dataclass(kw_only=True)\n"
        "class Mine(RandomLabels, name='mine'):\n    '''Mine.'''\n"
    )
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text("defaults:\n  - /settings@_here_: mine.Mine\n")
    code = (
        "import sys\nfrom jojoscl.runner.cli import main\nmain()\n"
        "assert 'jojoscl.networks.paper' not in sys.modules"
    )
    own = ["--config-dir", str(tmp_path), "method=mine", "pictures=false", "data=simulated"]
    path = [str(tmp_path), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}", *own],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "simulated mine seed 0" in done.stdout
