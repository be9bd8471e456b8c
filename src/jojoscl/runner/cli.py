"""The command `jojoscl`: a Hydra application whose errors are one sentence."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import jojoscl
from jojoscl.runner.arguments import check_arguments, choices, quoted
from jojoscl.runner.config import Plain, check_hydra, conf_dir, parse, register_resolvers
from jojoscl.runner.sentences import lost_process, sentence
from jojoscl.runner.streams import tolerant_streams
from jojoscl.runner.sweep import FAILED, SCORES
from jojoscl.utils.errors import UserError, stop
from jojoscl.utils.processes import interrupted, interruptible

EXAMPLES = """\
  jojoscl                                            the embedded example, pbmc68k_reduced
  jojoscl data=bladder method=jojoscl seed=0         one scored run on a benchmark set
  jojoscl data=h5ad data.path=my.h5ad n_clusters=12  your own cells
  jojoscl data=yan method=jojoscl_paper              the method as its paper has it
  jojoscl -m data=yan,bladder seed=0,1,2             a sweep; finished runs are not run again"""
PREDICT = "jojoscl predict model=model.npz data.path=new.h5ad output=predicted.h5ad"


def main() -> None:
    """Run the command.

    Exit codes: 0 done, 1 a run failed or a defect of ours, 2 something the user can mend, 130
    Ctrl-C, 143 SIGTERM.
    """
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback
    arguments = sys.argv
    with tolerant_streams() as stdout:
        try:
            with interruptible():
                command(arguments[1:])
        except BaseException as error:
            _end(error)
        finally:
            sys.argv = arguments
        stdout.flush()
        if stdout.error and not isinstance(
            stdout.error, BrokenPipeError
        ):  # a reader that left has seen enough
            stop(
                f"The output cannot be written ({stdout.error.strerror}): write it elsewhere.",
                "jojoscl",
            )


def command(arguments: list[str]) -> None:
    """Print the help or the version, predict, search, or hand over to Hydra."""
    if {"--help", "-h"} & set(arguments):
        print(help_text())
        return
    if "--version" in arguments:
        print(f"jojoscl {jojoscl.__version__}")
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing: the words are ours
    # OpenMP threads that wait by spinning make training ten times slower where another process has
    # a core.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    several = bool({"-m", "--multirun"} & set(arguments))
    arguments = [quoted(argument, several=several) for argument in arguments]
    sys.argv = [sys.argv[0], *arguments]  # which Hydra reads
    if arguments[:1] == ["predict"]:
        from jojoscl.runner.predict import predict

        predict(arguments[1:])
        return
    found = check_arguments(arguments)
    register_resolvers()  # which imports every method
    if found.config_dir or any("hydra" in override for override in found.overrides):
        check_hydra(found.overrides, multirun=found.multirun, config_dir=found.config_dir)
    if is_search(found):
        try:
            from jojoscl.runner.search import search
        except ModuleNotFoundError as error:  # Optuna is an extra
            raise UserError(
                f"A search needs {error.name}: pip install 'jojoscl[sweep]'."
            ) from error
        search(found.overrides)
        return
    hydra.main(config_path=str(conf_dir()), config_name="train", version_base="1.3")(job)()


def _end(error: BaseException) -> NoReturn:
    code = interrupted() or (130 if isinstance(error, KeyboardInterrupt) else None)
    if code:
        stop("interrupted; the same command goes on.", "jojoscl", code)
    if not isinstance(error, SystemExit) and (words := sentence(error)):
        stop(words, "jojoscl", 1 if lost_process(error) else 2)
    raise error


def job(cfg: DictConfig) -> None:
    """Do one run; in a sweep a failure is written to the run's folder and the sweep goes on."""
    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    failed = folder / FAILED
    try:
        from jojoscl.runner.run import run

        metrics = run(cfg, folder)
    except Exception as error:
        if interrupted():
            raise KeyboardInterrupt from error
        words = sentence(error, folder)
        if hydra_cfg.mode == RunMode.MULTIRUN:
            folder.mkdir(parents=True, exist_ok=True)
            failed.write_text(f"{words}\n" if words else traceback.format_exc())
            return
        _remove_if_empty(folder)
        if words:
            stop(words, "jojoscl")  # from here: Hydra would add lines of its own
        raise
    failed.unlink(missing_ok=True)
    page = folder / "page.html"
    print(result_line(metrics), f"  {page if page.exists() else folder}", sep="\n")


def result_line(metrics: Plain) -> str:
    """Return a run and its scores in one line."""
    scores = "  ".join(f"{name.upper()} {metrics[name]:.4f}" for name in SCORES if name in metrics)
    if not scores or "n_clusters_estimated" in metrics:
        scores = f"{metrics['n_clusters']} clusters  {scores}".rstrip()
    values = (
        f"  (values: {metrics['kind']}, by {metrics['kind_decided_by']})"
        if "kind" in metrics
        else ""
    )
    return f"{metrics['dataset']} {metrics['method']} seed {metrics['seed']}: {scores}{values}"


def is_search(arguments: Namespace) -> bool:
    """Return whether to search for settings, not to run with those given; a sweep of searches is refused."""
    overrides = parse(arguments.overrides)
    if arguments.cfg or not any(
        o.key_or_group == "search" and o.value() is not None for o in overrides
    ):
        return False
    if arguments.multirun or any(o.is_sweep_override() for o in overrides):
        raise UserError("A search is no sweep: leave out -m and give each setting one value.")
    return True


def help_text() -> str:
    """Return datasets, methods and experiments as they stand in `conf/`, and examples."""
    lines = [
        "jojoscl: shrinkage contrastive learning for single-cell RNA-seq clustering",
        "",
        "Examples",
        EXAMPLES,
    ]
    for group in ("data", "method", "experiment", "search"):
        lines += ["", f"{group}="]
        lines += [
            f"  {name:<21} {_describe(conf_dir() / group / f'{name}.yaml')}"
            for name in choices(group)
        ]
    lines += ["", "New cells, by a model that a run with save_model=true kept:", f"  {PREDICT}"]
    lines += [
        "",
        "Every setting: jojoscl --cfg job. Several values, separated by commas: add -m. Runs go to runs/.",
    ]
    return "\n".join(lines)


def _describe(path: Path) -> str:
    text = path.read_text()
    settings = OmegaConf.create(text)
    about = OmegaConf.select(settings, "method.about") or OmegaConf.select(settings, "about")
    if about and "given_k" in about:
        told = "given K" if about.given_k else "finds K"
        return f"{about.summary} ({about.citation}; {told}; about {about.minutes} min)"
    comments = [
        line[1:].strip()
        for line in text.splitlines()
        if line.startswith("#") and "@package" not in line
    ]
    return comments[0].rstrip(".") if comments else ""


def _remove_if_empty(folder: Path) -> None:
    """Remove the run folder, and those around it below the working folder, as far as nothing is in them."""
    for path in (folder, *(path for path in folder.parents if Path.cwd() in path.parents)):
        try:
            path.rmdir()
        except OSError:
            return
