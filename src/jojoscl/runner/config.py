"""Compose the YAML files of `conf/` and build the objects they describe."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import pooch
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from jojoscl.utils.errors import UserError, nearest

# What decides a run's result, and so names its folder. Kinds of devices, loggers, pictures and paths do not.
_DECISIVE = ("data", "method", "seed", "n_clusters", "selection")


def conf_dir() -> Path:
    """Folder of the YAML files: inside the installed package, or beside `src` in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.exists() else Path(__file__).parents[3] / "conf"


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """`conf/train.yaml` with Hydra overrides, for use from Python; a Hydra application around it is left alone."""
    register_resolvers()
    around = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return hydra.compose("train", overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = around


def with_settings(node: DictConfig, settings: Mapping[str, Any]) -> DictConfig:
    """`node` with `settings` in place of its own values; an unknown name is a :class:`UserError`."""
    for name in settings:
        if name not in node:
            known = [str(key) for key in node if not str(key).startswith("_")]
            raise UserError(f"There is no setting {name!r}{nearest(name, known)}.")
    return OmegaConf.unsafe_merge(node, settings)  # type: ignore[return-value]


def varied(cfg: DictConfig) -> DictConfig:
    """`cfg` with the changes that its `vary` lists, {dotted key: value}; twice is as once.

    A sweep of `vary` changes one setting, or a few together, at a time, where Hydra's own sweeps make a full grid.

    Raises
    ------
    UserError
        A setting that is not there.
    """
    changes = changes_of(cfg)
    cfg = copy.deepcopy(cfg) if changes else cfg
    for key, value in changes.items():
        group, _, name = key.rpartition(".")
        node = OmegaConf.select(cfg, group) if group else cfg
        if not isinstance(node, DictConfig):
            raise UserError(f"vary changes {key!r}, and there is no {group!r}: jojoscl --cfg job shows all settings.")
        with_settings(node, {name: value})
    return cfg


def changes_of(cfg: Any) -> dict[str, Any]:
    """What `vary` lists, as plain values."""
    changes = OmegaConf.select(cfg, "vary")
    if changes is None:
        return {}
    if not isinstance(changes, DictConfig):
        raise UserError(f"vary lists settings and their values, such as {{method.alpha:0}}, not {changes!r}.")
    return {str(key): value for key, value in OmegaConf.to_container(changes, resolve=True).items()}  # type: ignore


def study_point(cfg: DictConfig) -> dict[str, Any]:
    """Where a run stands in a study: the `setting` that is changed and its value, the `strength`; or None, None.

    Of several the last is the setting, and the others stand before it: "mask_rate=0.5, noise_sd" at 0.1.
    """
    corrupted = {f"corrupt.{name}": value for name, value in build(cfg.corrupt).changes.items()}
    changes = [(key.partition(".")[2] or key, value) for key, value in (corrupted | changes_of(cfg)).items()]
    if not changes:
        return {"setting": None, "strength": None}
    *others, (name, value) = changes
    strength = value if isinstance(value, int | float | str) else str(value)
    return {"setting": ", ".join([*(f"{key}={other}" for key, other in others), name]), "strength": strength}


def build(node: DictConfig) -> Any:
    """The object that `node` describes by `_target_`; its `about` is for readers.

    Raises
    ------
    UserError
        A key that the class does not have, or a value out of its range.
    """
    settings = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else None
    if not isinstance(settings, dict):
        raise UserError(f"{node!r} stands where a group of settings belongs: jojoscl --cfg job shows them.")
    settings.pop("about", None)
    _check_names(settings)
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def from_preset(preset: str, **settings: Any) -> Any:
    """JojoSCL with the settings of `conf/preset/{preset}.yaml`, and `settings` in place of its own.

    Returns
    -------
    :class:`~jojoscl.methods.jojoscl.method.JojoSCL` for "default", else
    :class:`~jojoscl.methods.paper.method.PaperJojoSCL`.

    Raises
    ------
    UserError
        Unknown preset or setting, or a value that makes no sense.
    """
    presets = [path.stem for path in (conf_dir() / "preset").glob("*.yaml")]
    if preset not in presets:
        raise UserError(f"There is no preset {preset!r}{nearest(preset, presets)}.")
    return build(with_settings(compose(["method=jojoscl", f"preset={preset}"]).method, settings))


def _check_names(settings: dict[Any, Any]) -> None:
    target: Any = get_class(settings["_target_"])
    if not dataclasses.is_dataclass(target):
        return
    names = [field.name for field in dataclasses.fields(target)]
    for name, value in settings.items():
        if name not in (*names, "_target_"):
            raise UserError(
                f"{settings['_target_'].rpartition('.')[2]} has no setting {name!r}{nearest(str(name), names)}."
            )
        if isinstance(value, dict) and "_target_" in value:
            _check_names(value)


def decisive(cfg: Any) -> dict[str, Any]:
    """The settings that decide a run's result, resolved to plain values."""
    cfg = varied(cfg)
    # select, not to_container of the whole: other nodes ask for the folder that this names
    chosen = {key: OmegaConf.select(cfg, key) for key in _DECISIVE}
    plain: dict[str, Any] = {
        k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in chosen.items()
    }
    plain["max_epochs"] = OmegaConf.select(cfg, "trainer.max_epochs")
    plain["precision"] = OmegaConf.select(cfg, "trainer.precision")
    if OmegaConf.select(cfg, "trainer.devices") != 1:  # each draws its own views, and on a CPU normalises its own cells
        plain["devices"] = OmegaConf.select(cfg, "trainer.devices")
    plain["corrupt"] = build(OmegaConf.select(cfg, "corrupt")).changes
    outside = {"data": "root", "method": "about"}  # where the files are, and what is said of the method
    return plain | {node: {k: v for k, v in plain[node].items() if k != key} for node, key in outside.items()}


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Every setting, resolved, without those of Hydra itself."""
    nodes = {str(key): value for key, value in cfg.items() if key != "hydra"}
    resolved: Any = OmegaConf.to_container(OmegaConf.create(nodes), resolve=True)
    return dict(resolved)


def config_hash(cfg: Any) -> str:
    """Eight hexadecimal digits that differ where the result may."""
    return _digits(json.dumps(decisive(cfg), sort_keys=True))


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_folder(cfg: Any) -> str:
    """Such as ``bladder/jojoscl-paper-last/seed0-1a2b3c4d``."""
    try:
        cfg, digits = varied(cfg), config_hash(cfg)
    except UserError:  # said by the run itself, or by a sweep beside its other runs; a folder is needed for that
        digits = f"wrong-{_digits(str(OmegaConf.select(cfg, 'vary')))}"
    method = [cfg.method.name, cfg.method.get("preset"), cfg.selection]
    dataset = [cfg.data.name, cfg.data.get("variant")]
    names = ["-".join(str(part) for part in parts if part) for parts in (dataset, method)]
    return f"{names[0]}/{names[1]}/seed{cfg.seed}-{digits}"


def cache_folder() -> str:
    """JOJOSCL_CACHE, or the user's cache folder."""
    return os.environ.get("JOJOSCL_CACHE") or str(pooch.os_cache("jojoscl") / "preprocessed")


def oracle_if_possible(cfg: Any) -> str:
    """`selection` of a study that shows both protocols: an oracle's run also scores its last epoch, label-free."""
    return "oracle" if get_class(cfg.method._target_).takes_oracle else "last"


def register_resolvers() -> None:
    """Make ``${run_folder:}``, ``${config_hash:}`` ... known to OmegaConf."""
    OmegaConf.register_new_resolver("oracle_if_possible", lambda *, _root_: oracle_if_possible(_root_), replace=True)
    OmegaConf.register_new_resolver("run_folder", lambda *, _root_: run_folder(_root_), replace=True)
    OmegaConf.register_new_resolver("config_hash", lambda *, _root_: config_hash(_root_), replace=True)
    OmegaConf.register_new_resolver("cache_folder", cache_folder, replace=True)
