"""From a node of the configuration to an object: `_target_` is the dotted path of its class.

A YAML file names a class once, in its defaults, and only the classes that a command chooses are
imported.
"""

from __future__ import annotations

import importlib
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf

from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings


def class_of(target: object) -> type[Settings]:
    """Return the class of settings that a dotted path names: ``jojoscl.core.method.JojoSCL``.

    Raises
    ------
    UserError
        There is no such class, or it is no class of settings.
    """
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"_target_={target} cannot be imported: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Settings)):
        raise UserError(f"_target_={target} is no class of settings.")
    return found


def build(node: DictConfig) -> Any:
    """Build the object that `node` describes by `_target_`. `about` is for readers and left out.

    Raises
    ------
    UserError
        There is no such class or setting, or a value is out of its range.
    """
    given = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else None
    if not isinstance(given, dict) or "_target_" not in given:
        raise UserError(
            f"{node!r} stands where a group of settings belongs: jojoscl --cfg job shows them."
        )
    kind = class_of(given.pop("_target_"))
    given.pop("about", None)
    return kind.of({str(name): value for name, value in given.items()})


class _SettingsGroup(dict[str, ConfigNode]):
    """Hydra's group ``settings``: a class's settings and defaults, read when a YAML file asks."""

    def __contains__(self, file: object) -> bool:
        return str(file).endswith(".yaml") and str(file).count(".") > 1

    def __missing__(self, file: str) -> ConfigNode:
        target = file.removesuffix(".yaml")
        kind = class_of(target)
        values = kind.defaults() if kind.outermost else {"_target_": target, **kind.defaults()}
        self[file] = ConfigNode(file, OmegaConf.create(values), "settings", None, None)
        return self[file]


def register_settings() -> None:
    """Give Hydra the group ``settings``."""
    repo = ConfigStore.instance().repo
    if "settings" not in repo:
        repo["settings"] = _SettingsGroup()
