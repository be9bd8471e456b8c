"""What a command means: built once, known by what decides its result."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jojoscl.core.method import JojoSCL
from jojoscl.runner import config
from jojoscl.runner.config import Resolved, compose, run_folder, varied
from jojoscl.utils.settings import setting
from tests.small import assert_refused


def resolved(*overrides: str) -> Resolved:
    return Resolved.of(compose(overrides))


def test_a_command_builds_four_objects(in_process, monkeypatch):
    built: Counter[str] = Counter()
    build = config.build

    def counted(node: Any) -> Any:
        built[str(node._target_).rpartition(".")[2]] += 1
        return build(node)

    monkeypatch.setattr("jojoscl.runner.config.build", counted)
    arguments = ("data=simulated", "data.n_cells=60", "method=random", "pictures=false")
    four = {"SimulatedDataset": 1, "RandomLabels": 1, "Corrupt": 1, "TrainerSettings": 1}
    for _ in range(2):  # a finished run too
        built.clear()
        assert in_process(*arguments).code == 0
        assert built == four


# ---- a run's name --------------------------------------------------------------------------------

FINISHED = json.loads((Path(__file__).parent / "finished_run.json").read_text())
"""Runs that were finished once: their command, what decided their result, and their name."""


def test_a_finished_run_is_known_again(subtests):
    for finished in FINISHED:
        with subtests.test(command=finished["overrides"]):
            found = resolved(*finished["overrides"])
            assert found.decisive == finished["decisive"]
            assert found.config_hash == finished["hash"]


@dataclass(kw_only=True)
class Moved(JojoSCL):
    """The default method in another module, with a setting that came later."""

    warmth: float = setting(0.0, "Added later.", neutral=0.0)


def test_a_moved_class_and_a_new_setting_leave_finished_runs_finished(monkeypatch):
    finished = FINISHED[0]
    class_of = config.class_of
    monkeypatch.setattr(
        config, "class_of", lambda name: Moved if "JojoSCL" in str(name) else class_of(name)
    )
    config._SettingsGroup.clear(config.ConfigStore.instance().repo["settings"])
    try:
        assert resolved(*finished["overrides"]).config_hash == finished["hash"]
        new = resolved(*finished["overrides"], "method.warmth=0.5")
        assert new.config_hash != finished["hash"]
    finally:
        config._SettingsGroup.clear(config.ConfigStore.instance().repo["settings"])


def test_runs_differ_by_what_decides_their_result():
    plain = resolved("seed=0").config_hash
    deciding = [
        "seed=1", "method.ridge=0.3", "trainer.max_epochs=3", "data=yan", "trainer=ddp",
        "corrupt.dropout=0.3", "vary={method.min_cells:5}", "method=jojoscl_paper",
        "method.preprocess.n_top_genes=500", "n_clusters=3", "trainer.threads=2",
    ]  # fmt: skip
    other = [
        "data.root=/elsewhere", "trainer.accelerator=cpu", "pictures=false", "corrupt.dropout=0",
        "vary={method.min_cells:3}", "method.ridge=1e-1", "trainer.threads=1",
        "trainer.checkpoint_seconds=7", "force=true", "name=other", "paths.runs=elsewhere",
    ]  # fmt: skip
    assert [word for word in deciding if resolved(word).config_hash == plain] == []
    assert [word for word in other if resolved(word).config_hash != plain] == []


def test_the_folder_says_dataset_method_selection_and_seed():
    found = resolved("data=bladder_2100", "method=jojoscl_released", "selection=oracle", "seed=0")
    assert found.folder == (
        f"bladder-select_2100/jojoscl_released-oracle/seed0-{found.config_hash}"
    )


def test_vary_does_what_its_settings_do_and_twice_is_once():
    cfg = compose(["vary={method.min_cells:5,corrupt.thin:0.5}"])
    alone = resolved("method.min_cells=5", "corrupt.thin=0.5").config_hash
    assert Resolved.of(cfg).config_hash == Resolved.of(varied(cfg)[0]).config_hash == alone
    assert (cfg.method.min_cells, varied(cfg)[0].method.min_cells) == (3, 5)


def test_a_resolved_run_is_kept_for_copies_of_its_configuration_alone():
    cfg = compose(["seed=3"])
    kept = Resolved.kept(cfg)
    assert Resolved.kept(cfg) is kept
    assert Resolved.kept(cfg.copy()).config_hash == kept.config_hash
    assert Resolved.kept(compose(["seed=4"])).config_hash != kept.config_hash


def test_a_run_is_known_by_the_content_of_its_file_not_by_where_it_is(tmp_path, cells):
    first, moved = tmp_path / "x.h5ad", tmp_path / "folder" / "y.h5ad"
    moved.parent.mkdir()
    cells.write_h5ad(first)
    moved.write_bytes(first.read_bytes())
    names = [
        resolved("data=h5ad", f"data.path={path}", "n_clusters=3").folder for path in (first, moved)
    ]
    assert names[0] == names[1]
    cells[:60].copy().write_h5ad(first)  # the same name, other cells
    assert resolved("data=h5ad", f"data.path={first}", "n_clusters=3").folder != names[0]
    table = tmp_path / "types.csv"
    for text in ("cell,type\n", "cell,kind\n"):
        table.write_text(text)
        own = ("data=h5ad", f"data.path={moved}", "n_clusters=3", f"data.metadata={table}")
        names.append(resolved(*own).folder)
    assert len(set(names)) == 3


def test_a_wrong_setting_has_a_folder_too():
    """Hydra asks for it before the run can say what is wrong."""
    assert "/seed0-wrong-" in run_folder(_root_=compose(["method.n_draws=0"]))


# ---- what goes together --------------------------------------------------------------------------


def test_settings_that_contradict_the_method_are_refused():
    assert_refused(
        lambda overrides: resolved(*overrides.split()).check(),
        ("method=leiden n_clusters=5", "leave out n_clusters, or give method.match_k=true"),
        ("selection=oracle", "jojoscl has no epochs to choose from"),
        ("method=random save_model=true", "random makes no model: leave out save_model"),
        ("method=leiden data=h5ad data.batch_key=mouse", "leiden does not tell samples apart"),
    )
    for overrides in (("method=leiden",), ("method=leiden_matched", "n_clusters=5")):
        assert resolved(*overrides).check() is None
