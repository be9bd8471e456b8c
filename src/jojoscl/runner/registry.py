"""What a configuration may build: the classes of a fixed table, and nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings

SETTINGS = {
    "JojoSCL": "jojoscl.core.method",
    "PaperJojoSCL": "jojoscl.networks.paper.method",
    "ReleasedJojoSCL": "jojoscl.networks.paper.method",
    "ScCCL": "jojoscl.networks.sccl",
    "ContrastiveSC": "jojoscl.networks.contrastive_sc",
    "ScDeepCluster": "jojoscl.networks.scdeepcluster",
    "ScziDesk": "jojoscl.networks.sczidesk",
    "Seurat": "jojoscl.baselines.seurat",
    "Leiden": "jojoscl.baselines.leiden",
    "PCAKMeans": "jojoscl.baselines.controls",
    "RandomLabels": "jojoscl.baselines.controls",
    "TrueLabels": "jojoscl.baselines.controls",
    "CatalogDataset": "jojoscl.datasets.load",
    "FileDataset": "jojoscl.datasets.load",
    "FolderDataset": "jojoscl.datasets.load",
    "SimulatedDataset": "jojoscl.datasets.simulate",
    "Corrupt": "jojoscl.datasets.corrupt",
    "TrainerSettings": "jojoscl.networks.settings",
    "Search": "jojoscl.runner.search",
}
"""The `_target_` of a group of settings, and the module of the class of that name."""

_LOGGERS = {"Wandb": "jojoscl.runner.wandb"}

_OF_HYDRA = (
    "jojoscl.runner.sweep.SweepSummary",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
)
_OF_LOGGING = {  # what `logging.config` would call
    "()": ("colorlog.ColoredFormatter",),
    "class": (
        "logging.StreamHandler",
        "logging.FileHandler",
        "logging.NullHandler",
        "logging.Formatter",
    ),
}
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def class_of(name: object) -> Any:
    """Return the class that `_target_` names; a :class:`UserError` for any other than those of the table."""
    table = SETTINGS | _LOGGERS
    if not isinstance(name, str) or name not in table:
        raise UserError(
            f"A configuration cannot run {name!r}: _target_ is one of {', '.join(sorted(table))}."
        )
    return getattr(importlib.import_module(table[name]), name)


def build(node: DictConfig) -> Any:
    """Build the object that `node` describes by `_target_`, the only one that is looked at; its `about` is for readers.

    Raises
    ------
    UserError
        A class that is not in the table, a setting that it does not have, or a value out of its
        range.
    """
    given = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else None
    if not isinstance(given, dict) or "_target_" not in given:
        raise UserError(
            f"{node!r} stands where a group of settings belongs: jojoscl --cfg job shows them."
        )
    kind = class_of(given.pop("_target_"))
    given.pop("about", None)
    names = {str(name): value for name, value in given.items()}
    if issubclass(kind, Settings):
        return kind.of(names)
    try:
        return kind(**names)
    except (TypeError, ImportError) as error:
        raise UserError(
            f"{kind.__name__} cannot be made: {str(error).splitlines()[0].rstrip('.')}."
        ) from error


def refuse_calls(node: object) -> None:
    """Refuse whatever Hydra would call for its own node, plain values, unless it is on the list.

    Raises
    ------
    UserError
        A `_target_`, or a factory, class or stream in a configuration of logging.
    """
    for key, value in _entries(node):
        allowed = _OF_HYDRA if key == "_target_" else _OF_LOGGING.get(key)
        if isinstance(value, str) and value.startswith("ext://"):
            allowed = _STREAMS
        if allowed is not None and value not in allowed:
            raise UserError(f"A configuration cannot run {value!r} ({key}=): leave it out.")


def _entries(node: object) -> Iterator[tuple[str, object]]:
    """Yield every key and value at any depth; entries of a list have the key ''."""
    of_list = [("", item) for item in node] if isinstance(node, list) else []
    for key, value in node.items() if isinstance(node, Mapping) else of_list:
        yield str(key), value
        yield from _entries(value)


def register_settings() -> None:
    """Tell Hydra the settings and defaults of each class, as the choices of its group ``settings``."""
    store = ConfigStore.instance()
    for name in SETTINGS.keys() - {"Search"}:  # whose Optuna is an extra
        kind = class_of(name)
        store.store(group="settings", name=name, node={"_target_": name, **kind.defaults()})
