"""The command `jojoscl`: a Hydra application whose errors are one sentence."""

from __future__ import annotations

import os
import re
import sys
import traceback
from argparse import Namespace
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jojoscl.runner.config import check_hydra, compose, conf_dir, register_resolvers
from jojoscl.runner.sweep import FAILED
from jojoscl.utils.errors import UserError, nearest, stop
from jojoscl.utils.files import unwritable

EXAMPLES = """\
  jojoscl                                            the embedded example, pbmc68k_reduced
  jojoscl data=bladder method=jojoscl seed=0         one scored run on a benchmark set
  jojoscl data=h5ad data.path=my.h5ad n_clusters=12  your own cells
  jojoscl data=yan method=jojoscl_released selection=oracle  as the released code does it, labels and all
  jojoscl -m data=yan,bladder seed=0,1,2             a sweep; finished runs are not run again"""


def main() -> None:
    """Entry point. Exit code 2: something the user can mend; 1: a run failed or a defect of ours."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing: the words are ours
    # OpenMP threads that wait by spinning make training ten times slower where another process has a core.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    register_resolvers()
    try:
        arguments = check_arguments()
        if arguments.config_dir or any("hydra" in override for override in arguments.overrides):
            check_hydra(arguments.overrides, multirun=arguments.multirun, config_dir=arguments.config_dir)
        if is_search(arguments):
            search(arguments.overrides)
        else:
            hydra.main(config_path=str(conf_dir()), config_name="train", version_base="1.3")(job)()
    except UserError as error:
        _stop(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _stop(explain(error))
    except OSError as error:  # Hydra makes the run folder
        if not (problem := unwritable(error.filename, error)):
            raise
        _stop(str(problem))


def job(cfg: DictConfig) -> None:
    """One run; in a sweep a failure is written to the run's folder and the sweep goes on."""
    from jojoscl.runner.run import run

    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    failed = folder / FAILED
    try:
        metrics = run(cfg, folder)
    except Exception as error:
        problem = unwritable(getattr(error, "filename", None) or folder, error) if isinstance(error, OSError) else None
        mendable = error if isinstance(error, UserError) else problem
        _remove_if_empty(folder)
        if hydra_cfg.mode != RunMode.MULTIRUN:
            if mendable:
                _stop(str(mendable))  # from here: Hydra would add lines of its own
            raise
        folder.mkdir(parents=True, exist_ok=True)
        failed.write_text(f"{mendable}\n" if mendable else traceback.format_exc())
        return
    failed.unlink(missing_ok=True)
    scores = "  ".join(f"{name.upper()} {metrics[name]:.4f}" for name in ("ari", "nmi", "acc") if name in metrics)
    if not scores or "n_clusters_estimated" in metrics:
        scores = f"{metrics['n_clusters']} clusters  {scores}".rstrip()
    values = f"  (values: {metrics['kind']}, by {metrics['kind_decided_by']})" if "kind" in metrics else ""
    print(f"{metrics['dataset']} {metrics['method']} seed {metrics['seed']}: {scores}{values}\n  {folder}")


def is_search(arguments: Namespace) -> bool:
    """Whether to search for settings, not to run with those given; a :class:`UserError` for a sweep of searches."""
    overrides = OverridesParser.create().parse_overrides(arguments.overrides)
    if arguments.cfg or not any(o.key_or_group == "search" and o.value() is not None for o in overrides):
        return False
    if arguments.multirun or any(o.is_sweep_override() for o in overrides):
        raise UserError("A search is no sweep: leave out -m and give each setting one value.")
    return True


def search(overrides: list[str]) -> None:
    """Hand over to :mod:`jojoscl.runner.search`, whose Optuna is an extra."""
    try:
        from jojoscl.runner.search import search as run_search
    except ModuleNotFoundError as error:
        raise UserError(f"A search needs {error.name}: pip install 'jojoscl[sweep]'.") from error
    run_search(overrides)


def check_arguments() -> Namespace:
    """The command line as Hydra parses it; what it would answer with its usage or a traceback is refused."""
    parser = get_args_parser()
    parser.error = lambda message: _stop(f"{message[0].upper()}{message[1:]}: see jojoscl --help.")
    arguments = parser.parse_args()
    for override in OverridesParser.create().parse_overrides(arguments.overrides):
        if not override.key_or_group:
            raise UserError(f"{override.input_line!r} cannot be read: settings are given as key=value.")
        value = override.value()
        names = value.list if isinstance(value, ChoiceSweep) else [value]
        wrong = not override.is_delete() and any(name is None or isinstance(name, int | float) for name in names)
        if wrong and _is_group(override):
            raise UserError(f"{override.input_line!r} names no choice: jojoscl --help lists those of each group.")
    return arguments


def explain(error: Exception) -> str:
    """Hydra's and OmegaConf's errors in one sentence that names the nearest valid key or value."""
    message = str(error)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group or 'jojoscl'} has no choice {name!r}{nearest(name, error.options)}."
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read: settings are given as key=value."
    if found := re.search(r"Could not (?:override|append to|delete|delete from config\.) '([^'@]+)", message):
        near = nearest(found[1], known_keys(sys.argv[1:]))
        return f"There is no setting {found[1]!r}{near if 'did you mean' in near else ': jojoscl --cfg job shows all'}."
    if found := re.search(r"Ambiguous value for argument '(.+)'", message):
        return f"{found[1]!r} gives several values: add -m for a run with each, or write a list as [1,2]."
    return message.splitlines()[0].rstrip(".") + "."


def known_keys(arguments: list[str]) -> list[str]:
    """All settings, dotted, under the groups that the arguments choose as far as they can be composed."""
    overrides = []
    for override in OverridesParser.create().parse_overrides(
        [a for a in arguments if "=" in a and not a.startswith("-")]
    ):
        if _is_group(override) and not override.is_sweep_override():
            overrides.append(f"{override.key_or_group}={override.value()}")
    try:
        cfg = compose(overrides)
    except (HydraException, OmegaConfBaseException):
        cfg = compose()
    keys = ["hydra.run.dir", "hydra.sweep.dir", *(path.name for path in conf_dir().iterdir() if path.is_dir())]

    def walk(node: DictConfig, prefix: str) -> None:
        for key in map(str, node):
            keys.append(f"{prefix}{key}")
            if isinstance(node._get_node(key), DictConfig):
                walk(node[key], f"{prefix}{key}.")

    walk(cfg, "")
    return keys


def help_text() -> str:
    """Datasets, methods and experiments as they stand in `conf/`, and examples."""
    lines = [
        "jojoscl: shrinkage contrastive learning for single-cell RNA-seq clustering",
        "",
        "Examples",
        EXAMPLES,
    ]
    for group in ("data", "method", "experiment", "search"):
        lines += ["", f"{group}="]
        for path in sorted((conf_dir() / group).glob("*.yaml")):
            lines.append(f"  {path.stem:<18} {_describe(path)}")
    lines += [
        "",
        "Every setting: jojoscl --cfg job. Several values, separated by commas: add -m. Runs go to runs/.",
    ]
    return "\n".join(lines)


def _describe(path: Path) -> str:
    text = path.read_text()
    settings: Any = OmegaConf.create(text)
    about = settings.get("method", settings).get("about")
    if about:
        told = "given K" if about.told_k else "finds K"
        return f"{about.summary} ({about.citation}; {told}; about {about.minutes} min)"
    comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#") and "@package" not in line]
    return comments[0].rstrip(".") if comments else ""


def _is_group(override: Override) -> bool:
    return (conf_dir() / str(override.key_or_group)).is_dir()


def _remove_if_empty(folder: Path) -> None:
    """Remove the run folder, and those around it below the working folder, as far as nothing is in them."""
    for path in (folder, *(path for path in folder.parents if Path.cwd() in path.parents)):
        try:
            path.rmdir()
        except OSError:
            return


def _stop(sentence: str) -> NoReturn:
    stop(sentence, "jojoscl")
