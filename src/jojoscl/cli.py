"""The command `jojoscl`: a Hydra application whose errors are one sentence."""

from __future__ import annotations

import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jojoscl.config import compose, conf_dir, register_resolvers
from jojoscl.errors import UserError, nearest
from jojoscl.sweep import FAILED

EXAMPLES = """\
  jojoscl                                            the embedded example, pbmc68k_reduced
  jojoscl data=bladder method=jojoscl seed=0         one scored run on a benchmark set
  jojoscl data=h5ad data.path=my.h5ad n_clusters=12  your own cells
  jojoscl data=yan preset=released selection=oracle  as the released code does it, labels and all
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
        hydra.main(config_path=str(conf_dir()), config_name="train", version_base="1.3")(job)()
    except UserError as error:
        _stop(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _stop(explain(error))


def job(cfg: DictConfig) -> None:
    """One run; in a sweep a failure is written to the run's folder and the sweep goes on."""
    from jojoscl.train import run  # torch and scanpy take seconds to import: not for --help or a mistyped key

    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    failed = folder / FAILED
    try:
        metrics = run(cfg, folder)
    except Exception as error:
        _remove_if_empty(folder)
        if hydra_cfg.mode != RunMode.MULTIRUN:
            if isinstance(error, UserError):
                _stop(str(error))  # from here: Hydra would add lines of its own
            raise
        folder.mkdir(parents=True, exist_ok=True)
        failed.write_text(f"{error}\n" if isinstance(error, UserError) else traceback.format_exc())
        return
    failed.unlink(missing_ok=True)
    scores = "  ".join(f"{name.upper()} {metrics[name]:.4f}" for name in ("ari", "nmi", "acc") if name in metrics)
    print(f"{metrics['dataset']} {metrics['method']} seed {metrics['seed']}: {scores}\n  {folder}")


def explain(error: Exception) -> str:
    """Hydra's and OmegaConf's errors in one sentence that names the nearest valid key or value."""
    message = str(error)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group or 'jojoscl'} has no choice {name!r}{nearest(name, error.options)}."
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read: settings are given as key=value."
    if found := re.search(r"Could not (?:override|append to|delete) '([^'@]+)", message):
        return f"There is no setting {found[1]!r}{nearest(found[1], known_keys(sys.argv[1:]))}."
    return message.splitlines()[0].rstrip(".") + "."


def known_keys(arguments: list[str]) -> list[str]:
    """All settings, dotted, under the groups that the arguments choose as far as they can be composed."""
    overrides = []
    for override in OverridesParser.create().parse_overrides(
        [a for a in arguments if "=" in a and not a.startswith("-")]
    ):
        if (conf_dir() / str(override.key_or_group)).is_dir() and not override.is_sweep_override():
            overrides.append(f"{override.key_or_group}={override.value()}")
    try:
        cfg = compose(overrides)
    except (HydraException, OmegaConfBaseException):
        cfg = compose()
    keys: list[str] = [path.name for path in conf_dir().iterdir() if path.is_dir()]

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
    for group in ("data", "method", "preset", "experiment"):
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


def _remove_if_empty(folder: Path) -> None:
    for path in (folder / "csv", folder, *list(folder.parents)[:3]):
        try:
            path.rmdir()
        except OSError:
            continue


def _stop(sentence: str) -> None:
    print(f"jojoscl: {sentence}", file=sys.stderr)
    sys.exit(2)
