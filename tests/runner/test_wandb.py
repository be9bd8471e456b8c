"""W&B mirrors a run: its offline file says what metrics.json says, and its failures touch nothing."""

import json
import logging
import os
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

pytest.importorskip("wandb")

import wandb
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from experiments.text import HERE
from jojoscl.runner.config import Resolved, build, compose
from jojoscl.runner.run import run
from jojoscl.runner.sweep import SCORES
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:wandb.*",  # its own use of pydantic and protobuf, which we cannot mend
    "ignore:.*unclosed.*:ResourceWarning",  # sockets to its service process, closed when this one ends
)

TINY = ("data=simulated", "data.n_cells=60", "data.n_genes=50", "data.n_types=3", "trainer.max_epochs=2",
        "trainer.progress_bar=false", "pictures=false",
        "method=jojoscl_paper", "method.encoder_dims=[8,4]")  # fmt: skip


def wandb_environment() -> dict[str, str]:
    """But for the address of the service process, which serves all runs of this process."""
    return {
        name: value
        for name, value in os.environ.items()
        if "WANDB" in name and name != "WANDB_SERVICE"
    }


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    yield
    assert wandb.run is None, "nor a run"


def do(folder: Path, *overrides: str) -> dict[str, Any]:
    before = wandb_environment()
    try:
        return run(Resolved.of(compose([*TINY, "logger=wandb", *overrides])), folder)
    finally:
        assert wandb_environment() == before, "nothing is left in the environment for the next job"


def read(path: Path) -> list[Any]:
    """Return an offline file's records: LevelDB's log format, blocks of 32 KiB of chunks (checksum, length, type)."""
    block, header = 32768, 7  # bytes
    data, at, record, found = path.read_bytes(), header, b"", []  # W&B's own header is as long
    while at + header <= len(data):
        if block - at % block < header:
            at += block - at % block
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        record += data[at + header : at + header + length]
        at += header + length
        if kind in (1, 4):  # whole, or the last of several
            found.append(Record.FromString(record))
            record = b""
    return found


def of_kind(kind: str, found: list[Any]) -> list[Any]:
    """Return what the records of one kind hold."""
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def nested(items: Iterable[Any]) -> dict[str, Any]:
    """Return items of a record, whose keys are paths, as one dictionary."""
    out: dict[str, Any] = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        node = out
        for key in path:
            node = node.setdefault(key, {})
        node[last] = json.loads(item.value_json)
    return out


def records(folder: Path) -> list[Any]:
    """All that a run wrote; its service process may still be writing when the run is over."""
    deadline = time.monotonic() + 120
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    while not of_kind("exit", found := read(path)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_the_file_of_wandb_equals_metrics_json(tmp_path):
    metrics = do(tmp_path / "run", "pictures=true", "name=study/one")
    found = records(tmp_path / "run")
    (begun,) = of_kind("run", found)
    assert (begun.project, begun.run_group) == ("jojoscl", "study/one")
    assert begun.run_id == f"study-one-{metrics['config_hash']}"
    assert begun.display_name.endswith(f"seed0-{metrics['config_hash']}")

    config = nested(begun.config.update)
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert {key: config[key] for key in written} == written

    summary: dict[str, Any] = {}
    for part in of_kind("summary", found):
        summary |= nested(part.update)
    rows = [nested(row.item) for row in of_kind("history", found)]
    kept = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {key: summary[key] for key in metrics} == kept

    losses = pd.read_csv(tmp_path / "run" / "csv" / "metrics.csv")
    curves = [row for row in rows if "loss" in row]
    for name in ("epoch", "loss", "instance", "cluster", "sure"):
        assert [row[name] for row in curves] == pytest.approx(list(losses[name]))
    (last,) = (row for row in rows if "losses" in row)
    files = next((tmp_path / "run").glob("wandb/offline-run-*/files"))
    umap = (tmp_path / "run" / "umap.png").read_bytes()
    assert (files / last["umap"]["path"]).read_bytes() == umap
    assert [ended.exit_code for ended in of_kind("exit", found)] == [0]


def test_two_jobs_and_a_run_of_the_users_own_share_nothing(tmp_path):
    silent = wandb.Settings(silent=True)
    with wandb.init(mode="offline", dir=tmp_path, project="other", settings=silent) as own:
        for seed in (0, 1):
            do(tmp_path / str(seed), f"seed={seed}")
        own.log({"x": 1})
    ids = [next((tmp_path / str(seed)).glob("wandb/offline-run-*")).name for seed in (0, 1)]
    assert len({name[-8:] for name in ids}) == 2


def test_a_run_that_fails_is_a_failed_run_there(tmp_path, monkeypatch):
    monkeypatch.setattr("jojoscl.runner.run.write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        do(tmp_path / "run")
    assert [ended.exit_code for ended in of_kind("exit", records(tmp_path / "run"))] == [1]


# ---- W&B out of order ----------------------------------------------------------------------------


def same_but_for_time(metrics: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metrics.items() if k not in ("seconds", "finished", "peak_memory_mb")}


@pytest.fixture(scope="module")
def plain_metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("plain")
    return same_but_for_time(run(Resolved.of(compose(TINY)), folder / "run"))


class Broken:
    """A W&B run of which one part raises."""

    def __init__(self, part: str) -> None:
        self.part, self.summary = part, self

    def __getattr__(self, name: str) -> Any:
        def act(*_: Any, **__: Any) -> None:
            if name == self.part:
                raise wandb.errors.CommError(f"{name} is refused\nand so on")

        return act


@pytest.mark.parametrize("part", ["init", "log", "update", "finish"])
def test_any_error_of_wandb_is_one_warning(tmp_path, monkeypatch, caplog, plain_metrics, part):
    monkeypatch.setattr(
        wandb, "init", Broken(part).init if part == "init" else lambda **_: Broken(part)
    )
    assert same_but_for_time(do(tmp_path / "run")) == plain_metrics
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == [f"W&B has no more of this run ({part} is refused); metrics.json has all."]


@pytest.mark.parametrize("key", ["", "0" * 40], ids=["no_key", "wrong_key"])
def test_no_server_is_one_warning_and_a_short_wait(
    tmp_path, monkeypatch, caplog, plain_metrics, key
):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setattr("jojoscl.runner.wandb.SECONDS", 2)
    metrics = do(tmp_path / "run", "logger.offline=false")
    assert same_but_for_time(metrics) == plain_metrics
    # W&B's own loggers write to its debug.log only, but pytest sees them too.
    said = [
        r.getMessage()
        for r in caplog.records
        if r.levelno >= logging.WARNING and r.name.startswith("jojoscl")
    ]
    assert len(said) == 1
    assert said[0].startswith("W&B has no more of this run (")


# ---- sweeps --------------------------------------------------------------------------------------


def swept(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What W&B may choose: each value listed and each end of a distribution, beside the first others."""
    axes = {
        name: spec["values"]
        if "values" in spec
        else [spec["value"]]
        if "value" in spec
        else [spec["min"], spec["max"]]
        for name, spec in sweep["parameters"].items()
    }
    first = {name: values[0] for name, values in axes.items()}
    return [first] + [
        first | {name: value} for name, values in axes.items() for value in values[1:]
    ]


def arguments(sweep: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    """What the agent hands to `jojoscl` for the values chosen, by W&B's own code."""
    env, program, *words = sweep["command"]
    assert (env, program) == ("${env}", "jojoscl")
    made = create_sweep_command_args(
        {"args": {name: {"value": value} for name, value in chosen.items()}}
    )
    return [
        part for word in words for part in (made[word[2:-1]] if word.startswith("${") else [word])
    ]


def check(overrides: list[str]) -> Any:
    """Refuse what the command would refuse before it loads cells."""
    job = Resolved.of(compose(overrides))
    job.check()
    build(job.cfg.logger)
    return job.cfg


def sweep_of(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((HERE / name).read_text()))


def test_every_command_of_the_agent_composes(plain_metrics, subtests):
    for name in sorted(path.name for path in HERE.glob("wandb_*.yaml")):
        with subtests.test(name=name):
            sweep = sweep_of(name)
            every = swept(sweep)
            assert len(every) == len({tuple(arguments(sweep, chosen)) for chosen in every})
            for chosen in every:
                cfg = check(arguments(sweep, chosen))
                assert cfg.logger.offline is False
                assert cfg.seed == chosen["seed"]
            if sweep["method"] == "grid":
                assert "metric" not in sweep, "a grid chooses nothing"
            else:
                assert sweep["metric"]["name"] in plain_metrics.keys() - set(SCORES), (
                    "logged by a run, and without labels"
                )


def test_a_command_that_would_fail_is_found(subtests):
    for parameter, spec, said in [
        ("method.rigde", {"value": 0.1}, "rigde"),
        ("method.ridge", {"min": -1.0, "max": 1.0}, "ridge"),
        ("vary", {"values": ["null", "{method.contrats:none}"]}, "contrats"),
        ("data", {"values": ["yan", "nay"]}, "nay"),
    ]:
        with subtests.test(parameter=parameter):
            sweep = sweep_of("wandb_sweep.yaml")
            sweep["parameters"] |= {parameter: spec}
            commands = [arguments(sweep, chosen) for chosen in swept(sweep)]
            with pytest.raises((UserError, HydraException, OmegaConfBaseException), match=said):
                list(map(check, commands))


def test_the_agents_ablation_is_the_one_that_runs_offline():
    params = OmegaConf.load(conf_dir() / "experiment" / "wandb_ablation.yaml").hydra.sweeper.params
    listed = {
        key: [part.strip() for part in str(values).split(",")] for key, values in params.items()
    }
    values = {key: [str(value) for value in spec.get("values", [spec.get("value")])]
              for key, spec in sweep_of("wandb_ablation.yaml")["parameters"].items()}  # fmt: skip
    assert values == listed
