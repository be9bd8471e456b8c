"""A search for settings by Optuna: `jojoscl search=<name>`. Processes with the same command share its trials.

A trial is one run on every dataset and seed, in ordinary run folders beside the study's `study.db`; what is finished
is not run again. A process holds a file lock on its trial, and the system lets go of the lock when the process dies:
a running trial whose lock is free was cut off, and is done again.
"""

from __future__ import annotations

import json
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from filelock import FileLock, Timeout
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from jojoscl.runner.config import compose, run_folder
from jojoscl.runner.registry import build
from jojoscl.runner.run import run
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import whole_file
from jojoscl.utils.settings import Settings, setting

ORACLE = ("ari", "nmi", "acc")  # scores that only the true labels give
_KINDS = {"float": FloatDistribution, "int": IntDistribution, "categorical": CategoricalDistribution}


@dataclass(kw_only=True)
class Search(Settings):
    """A search for settings."""

    score: str = setting(
        "silhouette",
        "What judges; all but the silhouette need the true labels, and are marked so.",
        values=("silhouette", *ORACLE),
    )
    direction: str = setting("maximize", "Which scores are better.", values=("maximize", "minimize"))
    sampler: str = setting("tpe", "Optuna's sampler.", values=("tpe", "random"))
    n_trials: int = setting(30, "Trials in all processes together.", low=1)
    seed: int = setting(0, "Seed of the sampler.", low=0, high=2**32 - 1)
    datasets: list[str] = setting([], "A trial is one run on each of them,")
    seeds: list[int] = setting([0], "and with each seed; its score is the mean.", low=0, high=2**32 - 1)
    space: dict[str, Any] = setting({}, "Settings by their dotted names, as Optuna's distributions.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.datasets and self.seeds and self.space):
            raise UserError("A search needs at least one of each: search.datasets, search.seeds and search.space.")
        self.distributions  # noqa: B018  a wrong one is said before anything runs

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's words for `space`."""
        return {name: _distribution(name, spec) for name, spec in self.space.items()}

    @property
    def oracle(self) -> bool:
        """Whether the true labels judge the trials."""
        return self.score in ORACLE


@dataclass(frozen=True)
class Worker:
    """One process's share of a search: `overrides` are the user's, `folder` is the study's."""

    search: Search
    overrides: tuple[str, ...]
    folder: Path
    locks: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "locks", self.folder / ".locks")
        self.locks.mkdir(parents=True, exist_ok=True)

    def open(self) -> optuna.Study:
        """Return the study, made by the first process; a :class:`UserError` if it was begun with other settings."""
        asked = {**vars(self.search), "overrides": sorted(self.overrides)}
        del asked["n_trials"]  # more may be added to a finished search
        with FileLock(self.locks / "study.lock"):
            study = optuna.create_study(
                storage=optuna.storages.RDBStorage(
                    f"sqlite:///{self.folder.absolute() / 'study.db'}",
                    engine_kwargs={"connect_args": {"timeout": 60}},  # seconds to wait for another process
                ),
                study_name=self.folder.name,
                direction=self.search.direction,  # type: ignore[arg-type]
                load_if_exists=True,
            )
            if study.user_attrs.get("settings", asked) != asked:
                raise UserError(f"{self.folder} holds a search with other settings: give another name=search/<name>.")
            study.set_user_attr("settings", asked)
            study.set_user_attr("oracle", self.search.oracle)
        return study

    def work(self, study: optuna.Study) -> None:
        """Trial after trial until all are taken."""
        while claimed := self.claim(study):
            trial, lock = claimed
            try:
                study.tell(trial, self.score(trial))
            except Exception as error:  # a trial that fails is a result too, and the next may not
                reason = str(error) if isinstance(error, UserError) else traceback.format_exc()
                trial.set_user_attr("reason", reason.strip())
                study.tell(trial, state=TrialState.FAIL)
            finally:
                lock.release()
            print(_line(study.trials[trial.number], self.search))

    def claim(self, study: optuna.Study) -> tuple[optuna.Trial, FileLock] | None:
        """Claim the next trial, with a lock that tells that it is in hand; None if none is left."""
        with FileLock(self.locks / "study.lock"):
            self.requeue_cut_off(study)
            wanted = counted(study)
            if len(wanted) >= self.search.n_trials and not any(t.state == TrialState.WAITING for t in wanted):
                return None
            # A seed for each trial: processes that share one would propose the same, and so would a resumed search.
            study.sampler = make_sampler(self.search, len(study.trials))
            trial = study.ask(self.search.distributions)
            lock = self.lock_of(trial.number)
            lock.acquire()
            return trial, lock

    def requeue_cut_off(self, study: optuna.Study) -> None:
        """Put the parameters of trials whose process is gone back into the queue."""
        again = replaced(study.trials)
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            try:
                with self.lock_of(trial.number).acquire(blocking=False):
                    if trial.number not in again:
                        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
                    study.tell(trial.number, state=TrialState.FAIL)
            except Timeout:
                continue

    def lock_of(self, number: int) -> FileLock:
        """Return the lock of the trial with this number."""
        return FileLock(self.locks / f"trial{number}.lock")

    def score(self, trial: optuna.Trial) -> float:
        """Return the mean score of the trial's runs."""
        scores = []
        for cfg in configs(self.search, self.overrides, trial.params):
            score = run(cfg, self.folder / run_folder(cfg)).get(self.search.score)
            if score is None or not np.isfinite(score):
                raise UserError(f"{cfg.data.name}, seed {cfg.seed}: the run has no {self.search.score}.")
            scores.append(score)
        return float(np.mean(scores))


def search(overrides: Sequence[str]) -> None:
    """Do this process's share of the search that `overrides` describe, and print the best settings known then."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Settings of the data wait until the datasets are known.
    cfg = compose([o for o in overrides if _key(o).startswith(("search", "name", "paths."))])
    settings: Search = build(cfg.search)
    _check(settings, overrides)
    name = f"{cfg.name}-oracle" if settings.oracle else cfg.name
    fixed = tuple(o for o in overrides if not _key(o).startswith("search."))
    worker = Worker(settings, (*fixed, f"name={name}"), Path(cfg.paths.runs) / name)
    with study_told(worker.folder / "study.db"):
        study = worker.open()
        worker.work(study)
        report(study, worker)


@contextmanager
def study_told(path: Path) -> Iterator[None]:
    """Raise a :class:`UserError` for a study's file that is damaged, or that is none."""
    try:
        yield
    except (SQLAlchemyError, OptunaError, KeyError, RuntimeError, ValueError) as error:  # as Optuna tells of damage
        reason = str(error.__cause__ or error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{path} cannot be used as a study ({reason}): move it away and search again, finished runs are kept."
        ) from error


def configs(settings: Search, overrides: Sequence[str], params: dict[str, Any]) -> list[DictConfig]:
    """Return one configuration for each dataset and seed, with a trial's parameters."""
    return [
        compose([*overrides, f"data={dataset}", f"seed={seed}", *as_overrides(params)])
        for dataset in settings.datasets
        for seed in settings.seeds
    ]


def as_overrides(params: dict[str, Any]) -> list[str]:
    """Return parameters as Hydra takes them; choices are written so already."""
    return [f"{name}={value}" for name, value in params.items()]


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of the study without those that were cut off and are in the queue, or done, again."""
    gone = replaced(study.trials)
    return [trial for trial in study.trials if trial.number not in gone]


def replaced(trials: Sequence[optuna.trial.FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that others repeat."""
    return {trial.user_attrs["again"] for trial in trials if "again" in trial.user_attrs}


def make_sampler(settings: Search, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of the trial with this number."""
    seed = int(np.random.SeedSequence((settings.seed, number)).generate_state(1)[0])
    if settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # keeps away from what other processes try


def report(study: optuna.Study, worker: Worker) -> None:
    """Write trials.csv, and print the best settings as overrides."""
    trials = counted(study)
    rows = [
        {"trial": t.number, "state": t.state.name.lower(), "score": worker.search.score,
         "by_true_labels": worker.search.oracle, "value": t.value, **t.params, "reason": t.user_attrs.get("reason")}
        for t in trials
    ]  # fmt: skip
    with FileLock(worker.locks / "table.lock"), whole_file(worker.folder / "trials.csv") as path:
        pd.DataFrame(rows).to_csv(path, index=False)
    running = sum(trial.state == TrialState.RUNNING for trial in trials)
    print(f"\n{len(trials) - running} of {worker.search.n_trials} trials are done, {running} run in other processes:")
    print(f"  {worker.folder / 'trials.csv'}")
    if not any(trial.state == TrialState.COMPLETE for trial in trials):
        sys.exit(0 if running else 1)
    best, settings = study.best_trial, worker.search
    mark = " (ORACLE: the true labels judged; to compare only)" if settings.oracle else ""
    print(f"\nBest, trial {best.number}, {settings.score} {best.value:.4f}{mark}:")
    print("  jojoscl " + shlex.join([*_reusable(worker.overrides), *as_overrides(best.params)]))


def _reusable(overrides: Sequence[str]) -> list[str]:
    """Return the user's overrides without those that make a search of a run."""
    return [o for o in overrides if _key(o) not in ("search", "name")]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _line(trial: optuna.trial.FrozenTrial, settings: Search) -> str:
    found = f"{settings.score} {trial.value:.4f}" if trial.value is not None else "failed: " + _last_line(trial)
    return f"trial {trial.number}: {found}  {shlex.join(as_overrides(trial.params))}"


def _last_line(trial: optuna.trial.FrozenTrial) -> str:
    return str(trial.user_attrs.get("reason", "")).splitlines()[-1]


def _distribution(name: str, spec: Any) -> BaseDistribution:
    kind = spec.get("type") if isinstance(spec, dict) else None
    if kind not in _KINDS:
        raise UserError(f"search.space: {name} needs a type{nearest(str(kind), _KINDS)}.")
    values = {key: value for key, value in spec.items() if key != "type"}
    try:
        if kind == "categorical":  # as Hydra reads them: Optuna keeps no lists
            values["choices"] = [c if isinstance(c, str) else json.dumps(c) for c in values["choices"]]
        return _KINDS[kind](**values)
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"search.space: {name} makes no {kind} parameter ({reason}).") from error


def _check(settings: Search, overrides: Sequence[str]) -> None:
    """Refuse, before a study is made, what would make every trial fail."""
    for key, instead in (("data", "datasets"), ("seed", "seeds")):
        if key in map(_key, overrides):
            raise UserError(f"In a search {key}= is given as search.{instead}=[...]: a trial is a run on each.")
    if any(_key(o).startswith(("launcher", "hydra")) for o in overrides):
        raise UserError("A search uses no launcher: start the same command several times, they share the trials.")
    random = optuna.samplers.RandomSampler(seed=0)
    params = optuna.create_study(sampler=random).ask(settings.distributions).params
    for cfg in configs(settings, overrides, params):
        build(cfg.data), build(cfg.trainer)
