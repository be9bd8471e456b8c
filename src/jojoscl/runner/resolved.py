"""What a command means: its objects, and the name and the folder of its run. Made once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from jojoscl.runner.config import Plain, RunSettings, build, varied
from jojoscl.utils.errors import UserError

if TYPE_CHECKING:  # they import numpy, pandas and more, and a wrong setting needs none of it
    from jojoscl.core.interface import Method
    from jojoscl.datasets.corrupt import Corrupt
    from jojoscl.datasets.load import CatalogDataset, FileDataset
    from jojoscl.datasets.simulate import SimulatedDataset
    from jojoscl.networks.settings import TrainerSettings

    Dataset = CatalogDataset | FileDataset | SimulatedDataset


@dataclass(frozen=True)
class Resolved:
    """A command's objects, each built once.

    cfg: all settings, with the changes of `vary`, without Hydra's own. settings: those of no group.
    changes: what a study changes in this run, {dotted name: value}: the corruption and `vary`.
    """

    cfg: DictConfig
    settings: RunSettings
    data: Dataset
    method: Method
    corrupt: Corrupt
    trainer: TrainerSettings
    changes: Plain

    @classmethod
    def of(cls, cfg: DictConfig) -> Resolved:
        """Build the objects; a wrong name or value is a :class:`UserError`."""
        cfg, changes = varied(cfg)
        own = {name: cfg[name] for name in RunSettings.defaults()}
        parts = {node: build(cfg[node]) for node in ("data", "method", "corrupt", "trainer")}
        corrupted = {f"corrupt.{k}": value for k, value in parts["corrupt"].decisive().items()}
        return cls(cfg=cfg, settings=RunSettings(**own), changes=corrupted | changes, **parts)

    @classmethod
    def kept(cls, cfg: DictConfig) -> Resolved:
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
        settings: Plain = {
            name: getattr(self, name).decisive()
            for name in ("data", "method", "trainer", "corrupt")
        }
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
            raise UserError(
                f"{method.name} finds the number of clusters itself: leave out n_clusters, or "
                "set method.match_k=true."
            )


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


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)  # ends Hydra's `run.dir`
