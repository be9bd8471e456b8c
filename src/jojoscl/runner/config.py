"""Compose the YAML files of `conf/`, and name a run by what decides its result."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
import pooch
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from jojoscl.runner.registry import build, class_of, refuse_calls, register_settings
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import conf_dir as conf_dir
from jojoscl.utils.settings import IRRELEVANT, Settings, setting

if TYPE_CHECKING:  # torch takes seconds to import, and a help text needs none
    from jojoscl.core.interface import Method

Plain = dict[str, Any]
"""Values as JSON and YAML have them."""


@dataclass(kw_only=True)
class RunSettings(Settings):
    """The settings of a run that belong to no group."""

    name: str = setting(
        "main", "First folder below paths.runs; a study sets its own.", neutral=IRRELEVANT
    )
    seed: int = setting(0, "The same seed gives the same result.", low=0, high=2**32 - 1)
    n_clusters: int | str | None = setting(
        "annotated",
        "A whole number; 'annotated' is as many as there are types; None: estimated from the cells.",
    )
    selection: str = setting(
        "last",
        "'oracle' takes the best epoch by the true labels, only to compare.",
        values=("last", "oracle"),
    )
    pictures: bool = setting(
        True, "Whether to draw the loss curves and a UMAP.", neutral=IRRELEVANT
    )
    save_model: bool = setting(
        False,
        "Whether method=jojoscl keeps a model for `jojoscl predict`, model.npz.",
        neutral=IRRELEVANT,
    )
    page: bool = setting(
        False,
        "Whether to write page.html: pictures, tree and markers; half the counts are clustered for it.",
        neutral=IRRELEVANT,
    )
    force: bool = setting(False, "Whether to run again what is finished.", neutral=IRRELEVANT)

    outermost = True

    def __post_init__(self) -> None:
        if self.n_clusters not in (None, "annotated") and type(self.n_clusters) is not int:
            raise UserError(
                f"n_clusters must be a whole number, annotated or null, not {self.n_clusters!r}."
            )
        super().__post_init__()


def parse(overrides: Iterable[str]) -> list[Override]:
    """Return overrides as Hydra reads them."""
    return OverridesParser.create().parse_overrides(list(overrides))


def compose(overrides: Sequence[str] = (), with_hydra: bool = False) -> DictConfig:
    """Return `conf/train.yaml` with overrides, and Hydra's node if asked; a Hydra application around is left alone."""
    with _own_hydra():
        return hydra.compose("train", overrides=list(overrides), return_hydra_config=with_hydra)


@contextmanager
def _own_hydra() -> Iterator[Hydra]:
    register_resolvers()
    around = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            own = GlobalHydra.instance().hydra
            assert own is not None
            yield own
    finally:
        GlobalHydra.instance().hydra = around


def check_hydra(overrides: Sequence[str], *, multirun: bool, config_dir: str | None = None) -> None:
    """Refuse a command line whose configuration of Hydra would call what :mod:`~jojoscl.runner.registry` does not list.

    Raises
    ------
    UserError
        Names the callback, launcher, sweeper or logging handler.
    """
    for override in parse(overrides):
        key = str(override.key_or_group)
        if key.startswith("hydra") and (override.is_sweep_override() or "searchpath" in key):
            raise UserError(f"{key} cannot be set in this way: leave it out.")
    if config_dir is not None:
        overrides = [*overrides, f"hydra.searchpath=['file://{Path(config_dir).absolute()}']"]
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    with _own_hydra() as own:
        cfg = own.compose_config(
            "train", list(overrides), run_mode=mode, with_log_configuration=False
        )
    refuse_calls(OmegaConf.to_container(cfg.hydra, resolve=False))
    for key in cfg.hydra.sweeper.get("params") or {}:
        if str(key).startswith("hydra"):
            raise UserError(f"{key} cannot be swept over: leave it out.")


def with_settings(node: DictConfig, settings: Mapping[str, object]) -> DictConfig:
    """Return `node` with `settings` in place of its values; an unknown name is a :class:`UserError`."""
    for name in settings:
        if name not in node:
            known = [str(key) for key in node if not str(key).startswith("_")]
            raise UserError(f"There is no setting {name!r}{nearest(name, known)}.")
    return OmegaConf.unsafe_merge(node, settings)  # type: ignore[return-value]


def varied(cfg: DictConfig) -> DictConfig:
    """Return `cfg` with the changes that its `vary` lists, {dotted key: value}; twice is as once.

    A sweep of `vary` changes one setting, or a few together, at a time, where Hydra's own sweeps
    make a full grid.
    """
    changes = changes_of(cfg)
    cfg = copy.deepcopy(cfg) if changes else cfg
    for key, value in changes.items():
        group, _, name = key.rpartition(".")
        node = OmegaConf.select(cfg, group) if group else cfg
        if not isinstance(node, DictConfig):
            raise UserError(
                f"vary changes {key!r}, and there is no {group!r}: jojoscl --cfg job shows all settings."
            )
        with_settings(node, {name: value})
    return cfg


def changes_of(cfg: DictConfig) -> Plain:
    """Return what `vary` lists, as plain values."""
    changes = OmegaConf.select(cfg, "vary")
    if changes is None:
        return {}
    if not isinstance(changes, DictConfig):
        raise UserError(
            f"vary lists settings and their values, such as {{method.alpha:0}}, not {changes!r}."
        )
    return {str(key): value for key, value in OmegaConf.to_container(changes, resolve=True).items()}  # type: ignore


def study_point(cfg: DictConfig) -> Plain:
    """Return the `setting` that a study changes in this run and its value, the `strength`; or None, None.

    Of several the last is the setting, and the others stand before it: "mask_rate=0.5, noise_sd" at
    0.1.
    """
    corrupted = {f"corrupt.{name}": value for name, value in build(cfg.corrupt).decisive().items()}
    changes = [
        (key.partition(".")[2] or key, value)
        for key, value in (corrupted | changes_of(cfg)).items()
    ]
    if not changes:
        return {"setting": None, "strength": None}
    *others, (name, value) = changes
    strength = value if isinstance(value, int | float | str) else str(value)
    return {
        "setting": ", ".join([*(f"{key}={other}" for key, other in others), name]),
        "strength": strength,
    }


def run_settings(cfg: DictConfig) -> RunSettings:
    """Return the settings at the top of `cfg`, checked."""
    return RunSettings(**{name: OmegaConf.select(cfg, name) for name in RunSettings.defaults()})


def check_together(cfg: DictConfig, method: Method) -> None:
    """Refuse settings of the run that the method would ignore."""
    if cfg.selection == "oracle" and not method.takes_oracle:
        raise UserError(f"{method.name} has no epochs to choose from: use selection=last.")
    if OmegaConf.select(cfg, "data.batch_key") and not method.takes_batch:
        raise UserError(f"{method.name} does not tell samples apart: leave out data.batch_key.")
    if cfg.save_model and not hasattr(method, "fit"):
        raise UserError(f"{method.name} makes no model that could be kept: leave out save_model.")
    if isinstance(cfg.n_clusters, int) and method.finds_k:
        raise UserError(
            f"{method.name} finds the number of clusters itself, and n_clusters={cfg.n_clusters} is given: leave it "
            "out, or set method.match_k=true."
        )


def decisive(cfg: DictConfig) -> Plain:
    """Return what decides a run's result: names and settings, not classes, and the data's content, not where it is.

    A setting at its neutral value is not named, so that one that is added later leaves finished
    runs finished.
    """
    cfg = varied(cfg)
    # Other nodes ask for the folder that this names: they are not resolved here.
    parts = {
        node: build(OmegaConf.select(cfg, node))
        for node in ("data", "method", "trainer", "corrupt")
    }
    settings = {node: part.decisive() for node, part in parts.items()}
    settings["data"]["content"] = parts["data"].fingerprint()
    return run_settings(cfg).decisive() | settings


def plain(cfg: DictConfig) -> Plain:
    """Return every setting, resolved, without those of Hydra itself."""
    nodes = {str(key): value for key, value in cfg.items() if key != "hydra"}
    return OmegaConf.to_container(OmegaConf.create(nodes), resolve=True)  # type: ignore[return-value]


def config_hash(cfg: DictConfig) -> str:
    """Return eight hexadecimal digits that differ where the result may."""
    return _digits(json.dumps(decisive(cfg), sort_keys=True))


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_folder(cfg: DictConfig) -> str:
    """Return a run's folder, such as ``bladder/jojoscl-last/seed0-1a2b3c4d``."""
    try:
        cfg, digits = varied(cfg), config_hash(cfg)
    except (
        UserError
    ):  # said by the run itself, or by a sweep beside its other runs; a folder is needed for that
        digits = f"wrong-{_digits(str(OmegaConf.select(cfg, 'vary')))}"
    dataset = "-".join(str(part) for part in (cfg.data.name, cfg.data.get("variant")) if part)
    return f"{dataset}/{cfg.method.name}-{cfg.selection}/seed{cfg.seed}-{digits}"


def cache_folder() -> str:
    """Return JOJOSCL_CACHE, or the user's cache folder."""
    return os.environ.get("JOJOSCL_CACHE") or str(pooch.os_cache("jojoscl") / "preprocessed")


def oracle_if_possible(cfg: DictConfig) -> str:
    """Return the `selection` of a study that shows both protocols: an oracle's run also scores its last epoch."""
    return "oracle" if class_of(cfg.method._target_).takes_oracle else "last"


def files_to_run(cfg: DictConfig) -> str:
    """Return the labelled files of `data.folder`, quoted and with commas between, as a sweep takes them."""
    data = cfg.data
    if not OmegaConf.select(data, "folder"):
        raise UserError("No folder is given: name one by data.folder=/path/to/folder.")
    from jojoscl.datasets.load import labelled_files  # slow to import, and needed only here

    files = labelled_files(Path(data.folder).expanduser(), data.label_key)
    for name in data.kinds or {}:
        if name not in (stems := [path.stem for path in files]):
            raise UserError(
                f"data.kinds names {name!r}, which is no file of the folder{nearest(name, stems)}."
            )
    return ",".join(QuotedString(str(path), Quote.single).with_quotes() for path in files)


def register_resolvers() -> None:
    """Make the settings of all classes known to Hydra, and ``${run_folder:}``, ``${config_hash:}`` ... to OmegaConf."""
    register_settings()
    ConfigStore.instance().store(group="settings", name="RunSettings", node=RunSettings.defaults())
    OmegaConf.register_new_resolver(
        "oracle_if_possible", lambda *, _root_: oracle_if_possible(_root_), replace=True
    )
    OmegaConf.register_new_resolver(
        "run_folder", lambda *, _root_: run_folder(_root_), replace=True
    )
    OmegaConf.register_new_resolver(
        "config_hash", lambda *, _root_: config_hash(_root_), replace=True
    )
    OmegaConf.register_new_resolver("cache_folder", cache_folder, replace=True)
    OmegaConf.register_new_resolver(
        "labelled_files", lambda *, _root_: files_to_run(_root_), replace=True
    )
    OmegaConf.register_new_resolver(
        "file_name", lambda path: Path(path or "folder").stem, replace=True
    )
