"""The contract of `conf/`: everything that ships can be composed and built, and lists all its settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import hydra
import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from jojoscl.config import build, compose, conf_dir, config_hash, from_preset, run_folder
from jojoscl.errors import UserError


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def assert_lists_all_settings(node: Any) -> None:
    """Keys in the YAML are the fields of the class, neither more nor fewer."""
    fields = {field.name for field in dataclasses.fields(get_class(node["_target_"]))}
    assert set(node) - {"_target_", "about"} == fields
    for value in node.values():
        if isinstance(value, dict) and "_target_" in value:
            assert_lists_all_settings(value)


@pytest.mark.parametrize("name", choices("method"))
def test_method_is_built_and_described(name: str) -> None:
    node = compose([f"method={name}"]).method
    assert_lists_all_settings(OmegaConf.to_container(node, resolve=True))
    method = build(node)
    assert method.name == name.removesuffix(f"_{node.get('preset')}")
    assert callable(method.fit_predict)
    assert isinstance(method.takes_oracle, bool)
    assert set(node.about) == {"summary", "citation", "doi", "told_k", "minutes"}


@pytest.mark.parametrize("name", choices("data"))
def test_data_is_built(name: str) -> None:
    node = compose([f"data={name}"]).data
    assert_lists_all_settings(OmegaConf.to_container(node, resolve=True))
    overrides = ["data.path=some.h5ad"] if name == "h5ad" else []
    assert callable(build(compose([f"data={name}", *overrides]).data).load)


@pytest.mark.parametrize("name", choices("preset"))
def test_preset_is_built_and_named(name: str) -> None:
    assert from_preset(name).preset == name


@pytest.mark.parametrize("group", ["preprocess", "trainer", "logger", "debug", "experiment", "search"])
def test_every_choice_of_the_other_groups_composes(group: str) -> None:
    for name in choices(group):
        cfg = compose([f"{group}={name}"])
        assert build(cfg.method).name == cfg.method.name
        assert build(cfg.trainer).max_epochs == cfg.trainer.max_epochs


def test_preprocess_reaches_the_method() -> None:
    assert compose(["preprocess=scanpy"]).method.preprocess.max_value == 10


def test_from_preset_takes_settings_and_names_unknown_ones() -> None:
    assert from_preset("paper", momentum=0.25).momentum == 0.25
    with pytest.raises(UserError, match="did you mean 'momentum'"):
        from_preset("paper", momentm=0.25)
    with pytest.raises(UserError, match=r"no preset 'papr'.*did you mean 'paper'"):
        from_preset("papr")


def test_compose_leaves_an_application_around_it_alone() -> None:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        compose()
        assert hydra.compose("train", ["seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("seed=1", False),
        ("method.momentum=0.3", False),
        ("trainer.max_epochs=3", False),
        ("data=yan", False),
        ("data.root=/elsewhere", True),
        ("trainer.accelerator=cpu", True),
        ("pictures=false", True),
    ],
)
def test_runs_are_told_apart_by_what_decides_their_result(override: str, same: bool) -> None:
    assert (config_hash(compose([override])) == config_hash(compose())) is same


def test_run_folder_tells_dataset_method_preset_selection_and_seed() -> None:
    cfg = compose(["data=bladder_2100", "preset=released", "selection=oracle", "seed=0"])
    assert run_folder(cfg) == f"bladder-select_2100/jojoscl-released-oracle/seed0-{config_hash(cfg)}"


def test_seed_zero_is_a_seed() -> None:
    assert compose(["seed=0"]).seed == 0
    assert config_hash(compose(["seed=0"])) != config_hash(compose(["seed=1"]))
