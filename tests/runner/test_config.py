"""The contract of `conf/`: everything that ships can be composed and built, and lists all its settings."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pytest
from anndata import AnnData
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.method import JojoSCL
from jojoscl.networks.paper.method import PaperJojoSCL, ReleasedJojoSCL
from jojoscl.runner import registry
from jojoscl.runner.config import (
    check_hydra,
    check_together,
    compose,
    conf_dir,
    config_hash,
    decisive,
    run_folder,
    run_settings,
    study_point,
    varied,
)
from jojoscl.runner.registry import build, class_of
from jojoscl.runner.run import run
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import setting


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def assert_shows_all_settings(node: Any) -> None:
    """Keys in the configuration are the fields of the class, neither more nor fewer, with its defaults."""
    kind = class_of(node["_target_"])
    defaults = kind.defaults()
    assert set(node) - {"_target_", "about"} == set(defaults)
    for name, value in node.items():
        if isinstance(value, dict) and isinstance(defaults.get(name), dict) and name != "about":
            assert set(value) == set(defaults[name])


@pytest.mark.parametrize("name", choices("method"))
def test_method_is_built_shown_whole_and_described(name: str) -> None:
    node = compose([f"method={name}"]).method
    assert_shows_all_settings(OmegaConf.to_container(node, resolve=True))
    method = build(node)
    assert method.name == name
    assert callable(method.fit_predict)
    assert isinstance(method.takes_oracle, bool)
    assert set(node.about) == {"summary", "citation", "doi", "given_k", "minutes"}
    assert node.about.given_k is not method.finds_k
    assert ("CEILING" in node.about.summary) is method.takes_truth


@pytest.mark.parametrize("name", choices("data"))
def test_data_is_built(name: str) -> None:
    node = compose([f"data={name}"]).data
    assert_shows_all_settings(OmegaConf.to_container(node, resolve=True))
    overrides = ["data.path=some.h5ad"] if name == "h5ad" else []
    assert callable(build(compose([f"data={name}", *overrides]).data).load)


@pytest.mark.parametrize("group", ["trainer", "logger", "debug", "experiment", "search"])
def test_every_choice_of_the_other_groups_composes(group: str) -> None:
    for name in choices(group):
        cfg = compose([f"{group}={name}"])
        assert build(cfg.method).name == cfg.method.name
        assert build(cfg.trainer).max_epochs == cfg.trainer.max_epochs


def test_yaml_repeats_no_default() -> None:
    """What a YAML file of a method or a dataset sets differs from the class."""
    for path in [*(conf_dir() / "method").glob("*.yaml"), *(conf_dir() / "data").glob("*.yaml")]:
        own: Any = OmegaConf.to_container(OmegaConf.load(path))
        (first,) = own["defaults"]
        if not isinstance(first, dict):  # another file: leiden_matched is leiden
            continue
        known = class_of(first["/settings@_here_"]).defaults()
        for name, value in own.items():
            assert name in ("defaults", "about") or known[name] != value or path.stem == value, (
                path,
                name,
            )


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_point_of_a_study_can_be_built(name: str) -> None:
    params: Any = OmegaConf.to_container(
        compose([f"experiment={name}"], with_hydra=True).hydra.sweeper.params
    )
    params.pop("data.path", None)  # a collection's files are not known here
    sweeps = OverridesParser.create().parse_overrides(
        [f"{key}={value}" for key, value in params.items()]
    )
    grid = {
        s.key_or_group: list(s.sweep_string_iterator()) if s.is_sweep_override() else [s.value()]
        for s in sweeps
    }
    points = grid.pop("vary", [None])
    first = [f"experiment={name}", *(f"{key}={values[0]}" for key, values in grid.items())]
    cfg = compose(first)
    names = []
    for point in points:
        (vary,) = OverridesParser.create().parse_overrides([f"vary={point or 'null'}"])
        OmegaConf.update(cfg, "vary", vary.value(), merge=False, force_add=True)
        names.append(run_folder(cfg))
    assert len(set(names)) == len(points)
    assert not any("wrong" in folder for folder in names)
    for key in grid.keys() & {"data", "method"}:
        assert set(grid[key]) <= set(choices(key))


def test_preprocessing_is_each_method_s_own() -> None:
    cfg = compose(["method=leiden", "method.preprocess.n_top_genes=500"])
    assert (build(cfg.method).preprocess.n_top_genes, build(cfg.method).preprocess.target_sum) == (
        500,
        1e4,
    )
    assert build(compose().method).preprocess == Preprocess(
        min_cells=2, target_sum=1e4, hvg_flavor="robust_v3"
    )
    assert build(compose(["method=jojoscl_released"]).method).preprocess == Preprocess()


def test_three_forms_of_jojoscl_are_each_whole() -> None:
    paper, released = PaperJojoSCL(), ReleasedJojoSCL()
    assert (paper.lambda_, paper.sure, paper.assign_on, paper.lr, paper.kmeans_starts) == (
        10,
        "two_view",
        "h",
        0.01,
        10,
    )
    assert (released.lambda_, released.sure, released.assign_on, released.lr) == (
        1,
        "released",
        "z",
        0.2,
    )
    assert (released.entropy, released.cluster_similarity, released.lr_period) == (
        "released",
        "dot",
        500,
    )
    assert build(compose(["method=jojoscl_released"]).method) == released


def test_compose_leaves_an_application_around_it_alone() -> None:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        compose()
        assert hydra.compose("train", ["seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("seed=1", False),
        ("method.ridge=0.3", False),
        ("trainer.max_epochs=3", False),
        ("data=yan", False),
        ("data.root=/elsewhere", True),
        ("trainer.accelerator=cpu", True),
        ("trainer.devices=1", True),
        ("trainer=ddp", False),
        ("pictures=false", True),
        ("corrupt.dropout=0.3", False),
        ("corrupt.dropout=0", True),
        ("vary={method.exponent:0}", False),
        ("vary={method.exponent:0.5}", True),
        ("method.shrink=false", False),
        ("method=jojoscl_paper", False),
        ("method.preprocess.n_top_genes=500", False),
        ("method.ridge=1e-1", True),
        ("n_clusters=3", False),
        ("trainer.threads=1", True),
        ("trainer.threads=2", False),
        ("trainer.precision=bf16-mixed", False),
        ("trainer.checkpoint_seconds=7", True),
        ("force=true", True),
        ("name=other", True),
        ("paths.runs=elsewhere", True),
    ],
)
def test_runs_are_told_apart_by_what_decides_their_result(override: str, same: bool) -> None:
    assert (config_hash(compose([override])) == config_hash(compose())) is same


def test_run_folder_tells_dataset_method_selection_and_seed() -> None:
    cfg = compose(["data=bladder_2100", "method=jojoscl_released", "selection=oracle", "seed=0"])
    assert (
        run_folder(cfg) == f"bladder-select_2100/jojoscl_released-oracle/seed0-{config_hash(cfg)}"
    )


def test_vary_does_what_its_settings_do_and_twice_is_once() -> None:
    cfg = compose(["vary={method.exponent:0,corrupt.thin:0.5}"])
    assert (
        config_hash(cfg)
        == config_hash(varied(cfg))
        == config_hash(compose(["method.exponent=0", "corrupt.thin=0.5"]))
    )
    assert (cfg.method.exponent, varied(cfg).method.exponent) == (0.5, 0)


@pytest.mark.parametrize(
    ("override", "setting", "strength"),
    [
        ("seed=0", None, None),
        ("corrupt.dropout=0.3", "dropout", 0.3),
        ("vary={method.preprocess.n_top_genes:500}", "preprocess.n_top_genes", 500),
        ("vary={method.shrink:false,method.n_draws:1}", "shrink=False, n_draws", 1),
    ],
)
def test_metrics_say_what_a_study_changed(
    override: str, setting: str | None, strength: object
) -> None:
    assert study_point(varied(compose([override]))) == {"setting": setting, "strength": strength}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("vary={method.rigde:0}", "no setting 'rigde' .did you mean 'ridge'"),
        ("vary={metod.ridge:0}", "there is no 'metod'"),
        ("vary=3", "vary lists settings"),
    ],
)
def test_vary_names_what_is_not_there(override: str, words: str) -> None:
    cfg = compose([override])
    assert "seed0-wrong-" in run_folder(cfg)  # the run says it, and in a sweep the others go on
    with pytest.raises(UserError, match=words):
        varied(cfg)


def test_seed_zero_is_a_seed() -> None:
    assert compose(["seed=0"]).seed == 0
    assert config_hash(compose(["seed=0"])) != config_hash(compose(["seed=1"]))


# ---- a run's name --------------------------------------------------------------------------------

FINISHED = json.loads((Path(__file__).parent / "finished_run.json").read_text())
"""A run that was finished once: its command, what decided its result, and the name it had."""


@pytest.mark.parametrize("finished", FINISHED, ids=lambda run: run["overrides"][0])
def test_a_finished_run_is_known_again(finished: dict[str, Any]) -> None:
    cfg = compose(finished["overrides"])
    assert decisive(cfg) == finished["decisive"]
    assert config_hash(cfg) == finished["hash"]


@dataclass(kw_only=True)
class Moved(JojoSCL):
    """The default method in another module, with two settings that came later."""

    warmth: float = setting(0.0, "Added later.", neutral=0.0)
    shade: str = setting("none", "Added later too.", values=("none", "dark"), neutral="none")


def test_a_moved_class_and_new_settings_leave_finished_runs_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = FINISHED[0]
    monkeypatch.setattr(
        registry, "class_of", lambda name: Moved if name == "JojoSCL" else class_of(name)
    )
    assert compose(finished["overrides"]).method.warmth == 0
    assert config_hash(compose(finished["overrides"])) == finished["hash"]
    for new in ("method.warmth=0.5", "method.shade=dark"):
        assert config_hash(compose([*finished["overrides"], new])) != finished["hash"]


def test_a_run_is_known_by_the_content_of_its_file_not_by_where_it_is(
    tmp_path: Path, cells: AnnData
) -> None:
    first, moved = tmp_path / "x.h5ad", tmp_path / "folder" / "y.h5ad"
    moved.parent.mkdir()
    cells.write_h5ad(first)
    moved.write_bytes(first.read_bytes())
    names = [
        run_folder(compose(["data=h5ad", f"data.path={path}", "n_clusters=3"]))
        for path in (first, moved)
    ]
    assert names[0] == names[1]
    cells[:60].copy().write_h5ad(first)  # the same name, other cells
    assert run_folder(compose(["data=h5ad", f"data.path={first}", "n_clusters=3"])) != names[0]
    table = tmp_path / "types.csv"
    for text in ("cell,type\n", "cell,kind\n"):
        table.write_text(text)
        names.append(
            run_folder(
                compose(
                    ["data=h5ad", f"data.path={moved}", "n_clusters=3", f"data.metadata={table}"]
                )
            )
        )
    assert len(set(names)) == 3
    assert not any("wrong" in name for name in names)


def test_a_killed_run_does_not_go_on_with_other_content(tmp_path: Path, cells: AnnData) -> None:
    """Not even in one folder: the checkpoint holds the run's name."""
    own = ["data=h5ad", f"data.path={tmp_path / 'x.h5ad'}", "n_clusters=3", "method=jojoscl_paper", "method.epochs=1",
           "pictures=false", "trainer.progress_bar=false"]  # fmt: skip
    cells.write_h5ad(tmp_path / "x.h5ad")
    run(compose(own), tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()  # as if it had been killed before the end
    cells[:100].copy().write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(UserError, match="was made with other settings"):
        run(compose(own), tmp_path / "run")


# ---- what goes together --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("method=leiden", "n_clusters=5"), "leiden finds the number of clusters itself"),
        (("method=seurat", "n_clusters=5"), "seurat finds the number of clusters itself"),
        (("selection=oracle",), "jojoscl has no epochs to choose from"),
        (("method=pca_kmeans", "selection=oracle"), "pca_kmeans has no epochs to choose from"),
    ],
)
def test_settings_that_contradict_the_method_are_refused(
    overrides: tuple[str, ...], words: str
) -> None:
    cfg = compose(overrides)
    with pytest.raises(UserError, match=words):
        check_together(cfg, build(cfg.method))


@pytest.mark.parametrize(
    "overrides", [("method=leiden",), ("method=leiden_matched", "n_clusters=5")], ids=str
)
def test_settings_that_go_together_pass(overrides: tuple[str, ...]) -> None:
    cfg = compose(overrides)
    method = build(cfg.method)
    check_together(cfg, method)
    assert isinstance(cfg.n_clusters, int) is not method.finds_k


@pytest.mark.parametrize(
    "override", ["n_clusters=many", "n_clusters=2.5", "n_clusters=true", "seed=-1", "selection=x"]
)
def test_settings_of_a_run_are_checked(override: str) -> None:
    with pytest.raises(UserError, match=f"^{override.partition('=')[0]} "):
        run_settings(compose([override]))


# ---- what a configuration may call ---------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    ["method._target_=os.system", "data._target_=jojoscl.utils.errors.stop", "method._target_=[1]"],
)
def test_a_configuration_runs_nothing_that_is_not_on_the_list(override: str) -> None:
    cfg = compose([override])
    with pytest.raises(UserError, match=r"^A configuration cannot run .*[.]$"):
        build(cfg.data), build(cfg.method)


@pytest.mark.parametrize(
    "override",
    [
        "data.root=[{_target_: pathlib.Path.touch, _args_: [payload]}]",
        "data.root={_target_: os.mkdir, path: payload}",
        "data.root='[{_target_: os.mkdir, path: payload}]'",
        "+method.preprocess._target_=subprocess.run",
        "method.view_dims=[{_target_: os.mkdir, _args_: [payload]}]",
        "+method.about.more=[[{deep: {_target_: os.mkdir, path: payload}}]]",
    ],
)
def test_a_target_deeper_in_a_group_is_a_value_like_any_other(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = compose([override])
    for node in (cfg.data, cfg.method):
        with contextlib.suppress(UserError):
            assert type(build(node)).__name__ in ("CatalogDataset", "JojoSCL")
    assert not list(tmp_path.iterdir())


def test_loggers_are_on_the_list_and_others_are_not() -> None:
    wandb = compose(["logger=wandb", "logger.save_dir=x"]).logger
    assert type(build(wandb)).__name__ == "Wandb"
    wrong = OmegaConf.merge(wandb, {"_target_": "lightning.pytorch.loggers.CometLogger"})
    assert isinstance(wrong, DictConfig)
    with pytest.raises(UserError, match=r"cannot run 'lightning.pytorch.loggers.CometLogger'"):
        build(wrong)


@pytest.mark.parametrize(
    "override",
    [
        "+hydra.callbacks.mine={_target_: os.system, command: touch payload}",
        "hydra.callbacks.sweep_summary._target_=os.system",
        "hydra.launcher._target_=os.system",
        "hydra.sweeper._target_=builtins.eval",
        "+hydra.job_logging.handlers.mine={class: logging.os.system}",
        "hydra.job_logging.handlers.console.class=subprocess.Popen",
        "hydra.job_logging.handlers.console.stream=ext://os.environ",
        "+hydra.hydra_logging.handlers.mine={class: os.system}",
        "hydra.searchpath=[pkg://payload]",
    ],
)
@pytest.mark.parametrize("multirun", [False, True], ids=["run", "sweep"])
def test_hydra_s_own_node_runs_nothing_that_is_not_on_the_list(
    override: str, multirun: bool
) -> None:
    with pytest.raises(UserError):
        check_hydra([override], multirun=multirun)


def test_a_sweep_over_what_hydra_calls_is_refused() -> None:
    with pytest.raises(UserError, match="hydra/launcher cannot be set in this way"):
        check_hydra(["hydra/launcher=basic,joblib"], multirun=True)


def test_what_users_set_of_hydra_passes() -> None:
    assert check_hydra(["hydra.run.dir=here", "data=yan"], multirun=False) is None
    assert (
        check_hydra(["hydra.sweep.dir=there", "seed=0,1", "hydra.verbose=true"], multirun=True)
        is None
    )


@pytest.mark.parametrize(
    "node",
    [
        "{callbacks: {mine: {_target_: os.system, command: x}}}",
        "{job_logging: {formatters: {mine: {(): os.system}}}}",
        "{hydra_logging: {handlers: {mine: {class: os.system}}}}",
        "{sweeper: {params: {hydra.launcher._target_: os.system}}}",
    ],
)
def test_a_folder_of_own_configurations_is_looked_through_too(tmp_path: Path, node: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\nhydra: {node}\n")
    with pytest.raises(UserError, match=r"cannot (run|be swept)"):
        check_hydra(["experiment=mine"], multirun=False, config_dir=str(tmp_path))
