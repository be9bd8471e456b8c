"""Runs as tables, one row a run, and the published numbers beside which they stand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from jojoscl.runner.config import build, compose
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import conf_dir

OURS = "jojoscl"
FLOOR = "random"  # shown, not ranked: a floor that every method passes makes Friedman's p too small
PUBLISHED = Path(__file__).parent / "reference" / "paper_table.csv"
RUN = ["dataset", "variant", "method", "seed", "selection", "setting", "strength"]  # one row each
KEYS = ["experiment", *RUN]
AS_TEXT = {"git_commit": str}  # some look like numbers
# Drawn from the sorted names of the 24 sets of experiment=benchmark, before the first trial:
# default_rng(20261129).permutation(names)[:12]
HALF_A = (
    "bladder", "camp_fetal_cortex", "ipsc_timecourse", "joost_epidermis", "kolodziejczyk_sub300",
    "mix_rna_celseq2", "pollen", "su_fetal_liver", "tasic_gaba", "worm_neuron", "yan",
    "zilionis_mouse_lung",
)  # fmt: skip


def finished(folder: Path, hint: str, of: str = "", query: str = "") -> pd.DataFrame:
    """Return the finished runs below `folder`, of which `query` is true.

    Raises
    ------
    UserError
        There is none; `hint` says what to do.
    """
    runs = collect(folder)
    runs = runs.query(query, engine="python") if query and len(runs) else runs
    if runs.empty:
        raise UserError(f"There is no finished run {of + ' ' if of else ''}below {folder}: {hint}.")
    return runs


def recorded(runs: pd.DataFrame, name: str) -> list[Any]:
    """Return what metrics.json of each run holds under `name`."""
    paths = (Path(folder) / "metrics.json" for folder in runs["folder"])
    return [json.loads(path.read_text()).get(name) for path in paths]


def read(path: Path, needed: Sequence[str] = RUN[:5]) -> pd.DataFrame:
    """Return the runs of a table that ``collect`` made; no variant is an empty word.

    Raises
    ------
    UserError
        Not such a table, a column of `needed` that it lacks, or no row in it.
    """
    try:
        runs = pd.read_csv(path, dtype=AS_TEXT)
    except OSError as error:
        how = "`python -m experiments collect` makes it from runs"
        raise UserError(f"There is no table {path}: {how}.") from error
    except ValueError as error:  # also pandas' own, of a file without columns or rows
        how = "give one that `collect` made"
        raise UserError(f"{path} cannot be read as a table of runs: {how}.") from error
    wrong = [f"has no column {name!r}" for name in needed if name not in runs]
    wrong += ["holds no run"] if runs.empty else []
    if wrong:
        raise UserError(f"{path} {wrong[0]}: give a table that `collect` made.")
    return named(runs)


def named(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with an empty word where a dataset has no variant."""
    if "variant" not in runs:
        return runs
    return runs.assign(variant=runs["variant"].astype(object).fillna(""))


def with_sets(runs: pd.DataFrame) -> pd.DataFrame:
    """Add a column `set`: the dataset, with its variant where the runs hold several."""
    many = runs.groupby("dataset")["variant"].transform("nunique") > 1
    both = runs["dataset"] + " " + runs["variant"].astype(str)
    return runs.assign(set=runs["dataset"].where(~many, both))


def reference() -> pd.DataFrame:
    """Return the paper's Table I: dataset, method, ari, nmi."""
    return pd.read_csv(PUBLISHED)


def published(dataset: str) -> dict[str, float]:
    """Return ARI and NMI of JojoSCL in the paper's Table I; nothing where it has no such set."""
    table = reference().query("dataset == @dataset and method == @OURS")
    return {} if table.empty else table[["ari", "nmi"]].iloc[0].to_dict()


@cache
def settings(method: str) -> tuple[DictConfig, Any] | None:
    """Return configuration and object of ``method=...``; None where `conf/method` lacks it."""
    if not (conf_dir() / "method" / f"{method}.yaml").exists():
        return None
    cfg = compose([f"method={method}"]).method
    return cfg, build(cfg)


def given_k(method: str) -> bool | None:
    """Whether `method` is given the number of clusters; None where it is not known."""
    found = settings(method)
    return None if found is None else OmegaConf.select(found[0], "about.given_k")


def has_epochs(method: str) -> bool:
    """Whether `method` trains for epochs, among which a best one could be chosen."""
    found = settings(method)
    return found is not None and hasattr(found[1], "epochs")
