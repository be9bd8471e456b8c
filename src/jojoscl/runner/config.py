"""Compose the YAML files of `conf/` with the settings of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from jojoscl.runner.registry import class_of, register_settings
from jojoscl.utils.conf import conf_dir
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.settings import IRRELEVANT, Settings, setting

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
        "A whole number; 'annotated': the number of annotated types; None: estimated.",
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
        "Whether to write page.html: pictures, tree and markers; half the counts are clustered "
        "for it.",
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
    """Return `conf/train.yaml` with overrides, and Hydra's own node if asked.

    A Hydra application around it is left alone.
    """
    with _own_hydra():
        return hydra.compose("train", overrides=list(overrides), return_hydra_config=with_hydra)


@contextmanager
def _own_hydra() -> Iterator[None]:
    register_resolvers()
    around = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = around


def with_settings(node: DictConfig, settings: Mapping[str, object]) -> DictConfig:
    """Return `node` with `settings` in place of its values; a UserError for an unknown name."""
    for name in settings:
        if name not in node:
            known = [str(key) for key in node if not str(key).startswith("_")]
            raise UserError(f"There is no setting {name!r}{nearest(name, known)}.")
    return OmegaConf.unsafe_merge(node, settings)  # type: ignore[return-value]


def changes_of(cfg: DictConfig) -> Plain:
    """Return what `vary` lists, {dotted key: value}, as plain values."""
    changes = OmegaConf.select(cfg, "vary")
    if changes is None:
        return {}
    if not isinstance(changes, DictConfig):
        raise UserError(
            f"vary lists settings and their values, such as {{method.alpha:0}}, not {changes!r}."
        )
    return {str(key): value for key, value in OmegaConf.to_container(changes, resolve=True).items()}  # type: ignore


def plain(cfg: DictConfig) -> Plain:
    """Return every setting, resolved, without those of Hydra itself."""
    return OmegaConf.to_container(_without_hydra(cfg), resolve=True)  # type: ignore[return-value]


def varied(cfg: DictConfig) -> DictConfig:
    """Return a copy of `cfg`, without Hydra's node, with the changes that its `vary` lists.

    A sweep of `vary` changes one setting, or a few together, at a time, where Hydra's own sweeps
    make a full grid.
    """
    changes = changes_of(cfg)
    cfg = _without_hydra(cfg)
    for key, value in changes.items():
        group, _, name = key.rpartition(".")
        node = OmegaConf.select(cfg, group) if group else cfg
        if not isinstance(node, DictConfig):
            raise UserError(
                f"vary changes {key!r}, and there is no {group!r}: jojoscl --cfg job shows all "
                "settings."
            )
        with_settings(node, {name: value})
    return cfg


def _without_hydra(cfg: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def oracle_if_possible(cfg: DictConfig) -> str:
    """Return the `selection` of a study that shows both protocols.

    A run by the oracle scores its last epoch too.
    """
    return "oracle" if getattr(class_of(cfg.method._target_), "takes_oracle", False) else "last"


def files_to_run(cfg: DictConfig) -> str:
    """Return the labelled files of `data.folder`, quoted, separated by commas, for a sweep."""
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
    """Give Hydra the settings of the classes, and OmegaConf what `conf/` computes."""
    register_settings()
    for name, resolver in (
        ("oracle_if_possible", lambda *, _root_: oracle_if_possible(_root_)),
        ("labelled_files", lambda *, _root_: files_to_run(_root_)),
        ("file_name", lambda path: Path(path or "folder").stem),
    ):
        OmegaConf.register_new_resolver(name, resolver, replace=True)
