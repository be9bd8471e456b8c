"""What a command means: YAML files of `conf/` and settings become objects, a name and a folder.

`_target_` is the dotted path of an object's class. A YAML file names a class once, in its defaults,
and only the classes that a command chooses are imported.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import hydra
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jojoscl.utils.errors import UserError, check_networks, nearest
from jojoscl.utils.files import conf_dir
from jojoscl.utils.settings import IRRELEVANT, Settings, setting

if TYPE_CHECKING:  # they import numpy, pandas and more, and a wrong setting needs none of it
    from jojoscl.core.interface import Method
    from jojoscl.datasets.corrupt import Corrupt
    from jojoscl.datasets.load import CatalogDataset, FileDataset
    from jojoscl.datasets.simulate import SimulatedDataset
    from jojoscl.networks.settings import TrainerSettings

    Dataset = CatalogDataset | FileDataset | SimulatedDataset

Plain = dict[str, Any]  # values as JSON and YAML have them
_PARTS = ("data", "method", "corrupt", "trainer")


@dataclass(kw_only=True)
class RunSettings(Settings):
    """The settings of a run that belong to no group."""

    name: str = setting("main", "First folder below paths.runs.", neutral=IRRELEVANT)
    seed: int = setting(0, "The same seed gives the same result.", low=0, high=2**32 - 1)
    n_clusters: int | str | None = setting("annotated", "A number, that of types; None: estimated.")
    selection: str = setting(
        "last", "'oracle': the best epoch by the true labels.", values=("last", "oracle")
    )
    pictures: bool = setting(True, "Whether to draw losses and a UMAP.", neutral=IRRELEVANT)
    save_model: bool = setting(False, "Whether jojoscl keeps model.npz.", neutral=IRRELEVANT)
    page: bool = setting(False, "Whether to write page.html.", neutral=IRRELEVANT)
    force: bool = setting(False, "Whether to run again what is finished.", neutral=IRRELEVANT)

    outermost = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.n_clusters, str) and self.n_clusters != "annotated":
            raise UserError(f"n_clusters is a number, annotated or null, not {self.n_clusters!r}.")


def parse(overrides: Iterable[str]) -> list[Override]:
    """Return overrides as Hydra reads them."""
    return OverridesParser.create().parse_overrides(list(overrides))


def compose(
    overrides: Sequence[str] = (), name: str = "train", with_hydra: bool = False
) -> DictConfig:
    """Return ``conf/NAME.yaml`` with overrides, and Hydra's own node if asked."""
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides), return_hydra_config=with_hydra)


def class_of(target: object) -> type[Settings]:
    """Return the class of settings that a dotted path names: ``jojoscl.core.method.JojoSCL``."""
    if str(target).startswith("jojoscl.networks.") and ".settings." not in str(target):
        check_networks()
    try:
        return get_class(str(target))
    except (ImportError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"_target_={target} is not to be used: {reason}.") from error


def build(node: DictConfig) -> Any:
    """Build the object that `node` describes by `_target_`. `about` is for readers and left out.

    Raises
    ------
    UserError
        There is no such class or setting, or a value is out of its range.
    """
    given: Any = OmegaConf.to_container(node, resolve=True)
    kind = class_of(given.pop("_target_"))
    given.pop("about", None)
    return kind.of(given)


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


def keys_of(node: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings; `node` is a configuration or what is in it."""
    plain = OmegaConf.to_container(node) if isinstance(node, DictConfig) else node
    for key, value in plain.items() if isinstance(plain, dict) else ():
        if key == "about":  # for readers
            continue
        yield f"{prefix}{key}"
        yield from keys_of(value, f"{prefix}{key}.")


def varied(cfg: DictConfig) -> tuple[DictConfig, Plain]:
    """Return a copy of `cfg`, without Hydra's node, with what `vary` lists, {dotted name: value}.

    A sweep of `vary` changes one setting, or a few together, at a time, where Hydra's own sweeps
    make a full grid.
    """
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    OmegaConf.set_struct(cfg, True)
    vary = OmegaConf.to_container(cfg.vary or OmegaConf.create(), resolve=True)
    changes: Plain = vary  # type: ignore[assignment]  # names are words
    for key, value in changes.items():
        try:
            OmegaConf.update(cfg, key, value)
        except OmegaConfBaseException as error:
            near = nearest(key, keys_of(cfg))
            raise UserError(f"vary: there is no setting {key!r}{near}.") from error
    return cfg, changes


@dataclass(frozen=True)
class Resolved:
    """A command's objects, each built once.

    cfg: all settings, with the changes of `vary`, without Hydra's own. settings: those of no group.
    changes: what a study changes in this run, {dotted name: value}: the corruption and `vary`.
    """

    cfg: DictConfig
    settings: RunSettings
    data: "Dataset"
    method: "Method"
    corrupt: "Corrupt"
    trainer: "TrainerSettings"
    changes: Plain

    @classmethod
    def of(cls, cfg: DictConfig) -> Self:
        """Build the objects; a wrong name or value is a :class:`UserError`."""
        cfg, changes = varied(cfg)
        own = {name: cfg[name] for name in RunSettings.defaults()}
        parts = {node: build(cfg[node]) for node in _PARTS}
        corrupted = {f"corrupt.{k}": value for k, value in parts["corrupt"].decisive().items()}
        return cls(cfg=cfg, settings=RunSettings(**own), changes=corrupted | changes, **parts)

    @classmethod
    def kept(cls, cfg: DictConfig) -> Self:
        """Return what :meth:`of` builds, and keep it in OmegaConf's cache for `cfg`.

        Hydra asks for the run's folder first, and hands a copy of `cfg`, cache and all, to the job.
        """
        cache = OmegaConf.get_cache(cfg)["resolved"]
        if "" not in cache:
            cache[""] = cls.of(cfg)
        return cache[""]  # type: ignore[no-any-return]

    @cached_property
    def decisive(self) -> Plain:
        """What decides the result: names and settings, and the content of the data.

        Neither where a class lives nor where a file is. A setting at its neutral value is left out,
        so that a setting that is added later leaves finished runs finished.
        """
        settings: Plain = {name: getattr(self, name).decisive() for name in _PARTS}
        settings["data"]["content"] = self.data.fingerprint()
        return self.settings.decisive() | settings

    @cached_property
    def config_hash(self) -> str:
        """Eight hexadecimal digits that differ where the result may."""
        return _digits(json.dumps(self.decisive, sort_keys=True))

    @property
    def folder(self) -> str:
        """The run's folder, such as ``bladder/jojoscl-last/seed0-1a2b3c4d``."""
        return _folder(self.cfg, self.config_hash)

    def check(self) -> None:
        """Refuse settings of the run that the method would ignore."""
        method, settings = self.method, self.settings
        if settings.selection == "oracle" and not method.takes_oracle:
            raise UserError(f"{method.name} has no epochs to choose from: use selection=last.")
        if getattr(self.data, "batch_key", None) and not method.takes_batch:
            raise UserError(f"{method.name} does not tell samples apart: leave out data.batch_key.")
        if settings.save_model and not hasattr(method, "fit"):
            raise UserError(f"{method.name} makes no model: leave out save_model.")
        if isinstance(settings.n_clusters, int) and method.finds_k:
            way = "leave out n_clusters, or give method.match_k=true"
            raise UserError(f"{method.name} finds the number of clusters itself: {way}.")


def run_folder(*, _root_: DictConfig) -> str:
    """Return the folder of a run, also of one with a wrong setting: the run itself refuses it."""
    try:
        return Resolved.kept(_root_).folder
    except UserError as error:
        return _folder(_root_, f"wrong-{_digits(str(error))}")


def _folder(cfg: DictConfig, digits: str) -> str:
    dataset = "-".join(str(part) for part in (cfg.data.name, cfg.data.get("variant")) if part)
    return f"{dataset}/{cfg.method.name}-{cfg.selection}/seed{cfg.seed}-{digits}"


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def oracle_if_possible(*, _root_: DictConfig) -> str:
    """Return the `selection` of a study that shows both protocols.

    A run by the oracle scores its last epoch too.
    """
    return "oracle" if getattr(class_of(_root_.method._target_), "takes_oracle", False) else "last"


def file_name(path: str | None) -> str:
    """Return the name of a user's file without its suffix."""
    return Path(path or "none").stem


ConfigStore.instance().repo.setdefault("settings", _SettingsGroup())
for _resolver in (oracle_if_possible, file_name, run_folder):  # used in `conf/`
    OmegaConf.register_new_resolver(_resolver.__name__, _resolver, replace=True)
