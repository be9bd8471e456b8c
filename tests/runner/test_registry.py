"""A configuration builds the classes of the table, and nothing else."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from jojoscl.baselines.controls import PCAKMeans
from jojoscl.runner.registry import SETTINGS, build, class_of, refuse_calls
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_name_is_a_class_of_settings(name: str) -> None:
    pytest.importorskip("optuna")
    assert issubclass(class_of(name), Settings)


def test_build() -> None:
    made = build(OmegaConf.create({"_target_": "PCAKMeans", "n_pcs": 7, "about": {"summary": "x"}}))
    assert isinstance(made, PCAKMeans)
    assert made.n_pcs == 7
    with pytest.raises(UserError, match="n_pc"):
        build(OmegaConf.create({"_target_": "PCAKMeans", "n_pc": 7}))


@pytest.mark.parametrize("target", ["os.system", "jojoscl.baselines.controls.PCAKMeans", 3, None])
def test_other_targets_are_refused(target: object) -> None:
    with pytest.raises(UserError, match=r"cannot run|stands where"):
        build(OmegaConf.create({"_target_": target}))


def test_calls_at_any_depth_are_refused() -> None:
    refuse_calls({"a": [{"b": 1}]})
    with pytest.raises(UserError, match=r"os\.system"):
        refuse_calls({"a": [{"b": {"_target_": "os.system"}}]})
