"""The contract of `conf/`: everything that ships can be composed and built, and lists all its settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_class
from omegaconf import OmegaConf

from jojoscl.runner.config import build, compose, conf_dir, config_hash, from_preset, run_folder, study_point, varied
from jojoscl.utils.errors import UserError


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


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_point_of_a_study_can_be_built(name: str) -> None:
    params = OmegaConf.load(conf_dir() / "experiment" / f"{name}.yaml").hydra.sweeper.params
    sweeps = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    grid = {s.key_or_group: list(s.sweep_string_iterator()) if s.is_sweep_override() else [s.value()] for s in sweeps}
    points = grid.pop("vary", [None])
    first = [f"experiment={name}", *(f"{key}={values[0]}" for key, values in grid.items())]
    names = [run_folder(compose([*first, *([f"vary={point}"] if point else [])])) for point in points]
    assert len(set(names)) == len(points)
    assert not any(folder.endswith("wrong") for folder in names)
    for key in grid.keys() & {"data", "method"}:
        assert set(grid[key]) <= set(choices(key))


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
        ("trainer.devices=1", True),
        ("trainer=ddp", False),
        ("pictures=false", True),
        ("corrupt.dropout=0.3", False),
        ("corrupt.dropout=0", True),
        ("vary={method.alpha:0}", False),
        ("vary={method.alpha:0.5}", True),
        ("method.shrink_components=false", False),
    ],
)
def test_runs_are_told_apart_by_what_decides_their_result(override: str, same: bool) -> None:
    assert (config_hash(compose([override])) == config_hash(compose())) is same


def test_run_folder_tells_dataset_method_preset_selection_and_seed() -> None:
    cfg = compose(["data=bladder_2100", "method=jojoscl_released", "selection=oracle", "seed=0"])
    assert run_folder(cfg) == f"bladder-select_2100/jojoscl-released-oracle/seed0-{config_hash(cfg)}"


def test_vary_does_what_its_settings_do_and_twice_is_once() -> None:
    cfg = compose(["vary={method.alpha:0,corrupt.thin:0.5}"])
    assert config_hash(cfg) == config_hash(varied(cfg)) == config_hash(compose(["method.alpha=0", "corrupt.thin=0.5"]))
    assert (cfg.method.alpha, varied(cfg).method.alpha) == (0.5, 0)


@pytest.mark.parametrize(
    ("override", "setting", "strength"),
    [
        ("seed=0", None, None),
        ("corrupt.dropout=0.3", "dropout", 0.3),
        ("vary={method.preprocess.n_top_genes:500}", "preprocess.n_top_genes", 500),
        ("vary={method.n_networks:0,method.anchor_partitions:1}", "n_networks=0, anchor_partitions", 1),
        ("vary={method.smoothing:[1,1]}", "smoothing", "[1, 1]"),
    ],
)
def test_metrics_say_what_a_study_changed(override: str, setting: str | None, strength: object) -> None:
    assert study_point(varied(compose([override]))) == {"setting": setting, "strength": strength}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("vary={method.alpa:0}", "no setting 'alpa' .did you mean 'alpha'"),
        ("vary={metod.alpha:0}", "there is no 'metod'"),
        ("vary=3", "vary lists settings"),
    ],
)
def test_vary_names_what_is_not_there(override: str, words: str) -> None:
    cfg = compose([override])
    assert run_folder(cfg).endswith("seed0-wrong")  # the run says it, and in a sweep the others go on
    with pytest.raises(UserError, match=words):
        varied(cfg)


def test_seed_zero_is_a_seed() -> None:
    assert compose(["seed=0"]).seed == 0
    assert config_hash(compose(["seed=0"])) != config_hash(compose(["seed=1"]))
