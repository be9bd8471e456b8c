"""The contract of `conf/`: all that ships can be composed and built, and lists all its settings."""

import subprocess
import sys
from typing import Any

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from jojoscl.baselines.controls import PCAKMeans
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.load import CATALOG, CatalogDataset, FileDataset
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.networks.paper import PaperJojoSCL, ReleasedJojoSCL
from jojoscl.runner.config import RunSettings, build, class_of, compose, run_folder, varied
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import choices, conf_dir
from tests.small import assert_refused


def assert_shows_all_settings(node: Any) -> None:
    """Keys in the configuration are the fields of the class, neither more nor fewer, with its defaults."""
    defaults = class_of(node["_target_"]).defaults()
    assert set(node) - {"_target_", "about"} == set(defaults)
    for name, value in node.items():
        if isinstance(value, dict) and isinstance(defaults.get(name), dict) and name != "about":
            assert set(value) == set(defaults[name])


def test_each_method_is_built_shown_whole_and_described(subtests):
    for name in choices("method"):
        with subtests.test(name=name):
            node = compose([f"method={name}"]).method
            assert_shows_all_settings(OmegaConf.to_container(node, resolve=True))
            method = build(node)
            assert method.name == name
            assert callable(method.fit_predict)
            assert isinstance(method.takes_oracle, bool)
            assert set(node.about) == {"summary", "citation", "doi", "given_k", "minutes"}
            assert node.about.given_k is not method.finds_k
            assert ("CEILING" in node.about.summary) is method.takes_truth


def test_each_dataset_is_shown_whole_and_built_with_no_more_changes_than_needed(subtests):
    expected = {name: CatalogDataset(name=name) for name in CATALOG} | {
        "bladder_2100": CatalogDataset(name="bladder", variant="select_2100"),
        "simulated": SimulatedDataset(name="simulated"),
        "h5ad": FileDataset(name="h5ad"),
    }
    assert set(choices("data")) == set(expected)
    for name, dataset in expected.items():
        with subtests.test(name=name):
            node = compose([f"data={name}"]).data
            assert_shows_all_settings(OmegaConf.to_container(node, resolve=True))
            assert build(node) == dataset
            assert callable(dataset.load)


def test_every_choice_of_the_other_groups_composes(subtests):
    for group in ("trainer", "logger", "debug", "search"):
        for name in choices(group):
            with subtests.test(group=group, name=name):
                cfg = compose([f"{group}={name}"])
                assert build(cfg.method).name == cfg.method.name
                assert build(cfg.trainer).max_epochs == cfg.trainer.max_epochs


def test_yaml_repeats_no_default():
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


def test_every_point_of_a_study_can_be_built(subtests):
    for name in choices("experiment"):
        with subtests.test(name=name):
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                cfg = hydra.compose("train", [f"experiment={name}"], return_hydra_config=True)
            params: Any = OmegaConf.to_container(cfg.hydra.sweeper.params)
            params.pop("data.path", None)  # a collection's files are not known here
            sweeps = OverridesParser.create().parse_overrides(
                [f"{key}={value}" for key, value in params.items()]
            )
            grid = {
                s.key_or_group: list(s.sweep_string_iterator())
                if s.is_sweep_override()
                else [s.value()]
                for s in sweeps
            }
            points = grid.pop("vary", [None])
            first = [f"experiment={name}", *(f"{key}={values[0]}" for key, values in grid.items())]
            cfg = compose(first)
            names = []
            for point in points:
                (vary,) = OverridesParser.create().parse_overrides([f"vary={point or 'null'}"])
                OmegaConf.update(cfg, "vary", vary.value(), merge=False, force_add=True)
                names.append(run_folder(_root_=cfg.copy()))
            assert len(set(names)) == len(points)
            assert not any("wrong" in folder for folder in names)
            for key in grid.keys() & {"data", "method"}:
                assert set(grid[key]) <= set(choices(key))


def test_preprocessing_is_each_method_s_own():
    leiden = compose(["method=leiden", "method.preprocess.n_top_genes=500"])
    found = build(leiden.method).preprocess
    assert (found.n_top_genes, found.target_sum) == (500, 1e4)
    own = Preprocess(min_cells=2, target_sum=1e4, hvg_flavor="robust_v3")
    assert build(compose().method).preprocess == own
    assert build(compose(["method=jojoscl_released"]).method).preprocess == Preprocess()


def test_three_forms_of_jojoscl_are_each_whole():
    paper, released = PaperJojoSCL(), ReleasedJojoSCL()
    assert (paper.lambda_, paper.sure, paper.assign_on, paper.lr) == (10, "two_view", "h", 0.01)
    assert paper.kmeans_starts == 10
    assert (released.lambda_, released.sure, released.assign_on) == (1, "released", "z")
    assert (released.lr, released.lr_period) == (0.2, 500)
    assert (released.entropy, released.cluster_similarity) == ("released", "dot")
    assert paper.encoder_dims == released.encoder_dims == [512, 256, 128]
    assert build(compose(["method=jojoscl_released"]).method) == released


def test_settings_of_a_run_are_checked():
    def settings(override: str) -> RunSettings:
        cfg = compose([override])
        return RunSettings(**{name: cfg[name] for name in RunSettings.defaults()})

    wrong = ("n_clusters=many", "n_clusters=2.5", "n_clusters=true", "seed=-1", "selection=x")
    assert_refused(settings, *[(word, f"^{word.partition('=')[0]} ") for word in wrong])


def test_vary_names_what_is_not_there():
    cases = [("method.rigde:0", "method.rigde"), ("metod.ridge:0", "metod.ridge")]
    for vary, _ in cases:  # the run says it, and in a sweep the others go on
        assert "seed0-wrong-" in run_folder(_root_=compose([f"vary={{{vary}}}"]))
    assert_refused(
        lambda vary: varied(compose([f"vary={{{vary}}}"])),
        *[(vary, f"no setting '{name}' .did you mean 'method.ridge'") for vary, name in cases],
    )


def test_benchmark_and_collection_have_folders_of_their_own():
    files = (conf_dir() / "experiment").glob("*.yaml")
    own = [name for path in files if (name := OmegaConf.load(path).get("name"))]
    assert len(own) == len(set(own))
    assert {"benchmark", "collection"} <= set(own)


# ---- from a node to an object ---------------------------------------------------------------------

TARGET = "jojoscl.baselines.controls.PCAKMeans"


def test_build():
    made = build(OmegaConf.create({"_target_": TARGET, "n_pcs": 7, "about": {"summary": "x"}}))
    assert isinstance(made, PCAKMeans)
    assert made.n_pcs == 7
    with pytest.raises(UserError, match="n_pc"):
        build(OmegaConf.create({"_target_": TARGET, "n_pc": 7}))


def test_only_classes_of_settings_are_built():
    near = "jojoscl.baselines.controls.PCAKmeans", "jojoscl.baseline.PCAKMeans", "PCAKMeans"
    assert_refused(class_of, *[(name, "is not to be used") for name in (*near, "os.system")])


def test_a_new_baseline_is_one_class_and_one_yaml(tmp_path):
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
    own = ["--config-dir", str(tmp_path), "method=mine", "pictures=false"]
    own += ["data=simulated", "data.n_cells=60", "data.n_genes=50"]
    path = [str(tmp_path), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}", *own],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "simulated mine seed 0" in done.stdout
