"""A search for settings by Optuna: `jojoscl search=<name>`. Processes with the same command share its trials.

A trial is one run on every dataset and seed, in ordinary run folders beside the study's `study.db`;
a finished run is not repeated. A process holds a file lock on its trial, which the system frees
when the process dies: a running trial whose lock is free was cut off, and another process does it
again.
"""

from __future__ import annotations

import json
import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from filelock import FileLock, Timeout
from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from jojoscl.runner.config import compose, run_folder
from jojoscl.runner.registry import build
from jojoscl.runner.run import run
from jojoscl.runner.sweep import SCORES
from jojoscl.utils.errors import UserError, nearest
from jojoscl.utils.files import whole_file
from jojoscl.utils.settings import Settings, setting

_KINDS = {
    "float": FloatDistribution,
    "int": IntDistribution,
    "categorical": CategoricalDistribution,
}


@dataclass(kw_only=True)
class Search(Settings):
    """A search for settings."""

    score: str = setting(
        "silhouette",
        "What judges; all but the silhouette need the true labels, and are marked so.",
        values=("silhouette", *SCORES),
    )
    direction: str = setting(
        "maximize", "Which scores are better.", values=("maximize", "minimize")
    )
    sampler: str = setting("tpe", "Optuna's sampler.", values=("tpe", "random"))
    n_trials: int = setting(30, "Trials in all processes together.", low=1)
    seed: int = setting(0, "Seed of the sampler.", low=0, high=2**32 - 1)
    datasets: list[str] = setting([], "A trial is one run on each of them,")
    seeds: list[int] = setting(
        [0], "and with each seed; its score is the mean.", low=0, high=2**32 - 1
    )
    space: dict[str, object] = setting(
        {}, "Settings by their dotted names, as Optuna's distributions."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.datasets and self.seeds and self.space):
            raise UserError(
                "A search needs at least one of each: search.datasets, search.seeds and search.space."
            )
        self.distributions  # noqa: B018  a wrong one is said before anything runs

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as Optuna's distributions."""
        return {name: _distribution(name, spec) for name, spec in self.space.items()}

    @property
    def oracle(self) -> bool:
        """Whether the true labels judge the trials."""
        return self.score in SCORES


def _distribution(name: str, spec: object) -> BaseDistribution:
    values = dict(spec) if isinstance(spec, Mapping) else {}
    kind = str(values.pop("type", None))
    if kind not in _KINDS:
        raise UserError(f"search.space: {name} needs a type{nearest(kind, _KINDS)}.")
    try:
        if kind == "categorical":  # as Hydra reads them: Optuna keeps no lists
            values["choices"] = [
                c if isinstance(c, str) else json.dumps(c) for c in values["choices"]
            ]
        return _KINDS[kind](**values)
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"search.space: {name} makes no {kind} parameter ({reason}).") from error


@dataclass(frozen=True)
class Worker:
    """One process's share of a search: `overrides` are the user's, `folder` is the study's."""

    search: Search
    overrides: tuple[str, ...]
    folder: Path

    def open(self) -> optuna.Study:
        """Return the study, made by the first process; a :class:`UserError` if it began with other settings."""
        asked = {**vars(self.search), "overrides": sorted(self.overrides)}
        del asked["n_trials"]  # more may be added to a finished search
        (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        with self.lock("study"):
            study = optuna.create_study(
                storage=optuna.storages.RDBStorage(
                    f"sqlite:///{self.folder.absolute() / 'study.db'}",
                    # Seconds to wait for another process; no connection is left open.
                    engine_kwargs={"connect_args": {"timeout": 60}, "poolclass": NullPool},
                ),
                study_name=self.folder.name,
                direction=self.search.direction,  # type: ignore[arg-type]
                load_if_exists=True,
            )
            if study.user_attrs.get("settings", asked) != asked:
                raise UserError(
                    f"{self.folder} holds a search with other settings: give another name=search/<name>."
                )
            study.set_user_attr("settings", asked)
            study.set_user_attr("oracle", self.search.oracle)
        return study

    def lock(self, name: str) -> FileLock:
        """Return the lock of the study, its table or a trial."""
        return FileLock(self.folder / ".locks" / f"{name}.lock")

    def work(self, study: optuna.Study) -> None:
        """Do trial after trial until all are taken."""
        while claimed := self.claim(study):
            trial, lock = claimed
            try:
                value = self.score(trial)
                study.tell(trial, value)
                found = f"{self.search.score} {value:.4f}"
            except Exception as error:  # a trial that fails is a result too, and the next may not
                reason = (
                    str(error) if isinstance(error, UserError) else traceback.format_exc()
                ).strip()
                trial.set_user_attr("reason", reason)
                study.tell(trial, state=TrialState.FAIL)
                found = f"failed: {reason.splitlines()[-1]}"
            finally:
                lock.release()
            print(f"trial {trial.number}: {found}  {shlex.join(as_overrides(trial.params))}")

    def claim(self, study: optuna.Study) -> tuple[optuna.Trial, FileLock] | None:
        """Return the next trial, one that was cut off first, and its lock, held; None if none is left."""
        with self.lock("study"):
            trials = study.trials
            for known in trials:
                with suppress(Timeout):
                    if known.state == TrialState.RUNNING:
                        lock = self.lock(f"trial{known.number}").acquire(blocking=False).lock
                        # Its process may have finished it since `trials` were read.
                        if study.trials[known.number].state == TrialState.RUNNING:
                            return self.proposed(
                                study, known.number, optuna.Trial(study, known._trial_id)
                            ), lock
                        lock.release()
            if len(trials) >= self.search.n_trials:
                return None
            lock = self.lock(f"trial{len(trials)}").acquire().lock
            return self.proposed(study, len(trials)), lock

    def proposed(
        self, study: optuna.Study, number: int, trial: optuna.Trial | None = None
    ) -> optuna.Trial:
        """Return a trial with all its parameters; of one that was cut off, those that it has stay."""
        # A seed for each trial: processes that share one would propose the same, and so would a
        # resumed search.
        study.sampler = make_sampler(self.search, number)
        trial = trial or study.ask()
        for name, distribution in self.search.distributions.items():
            trial._suggest(name, distribution)  # as `study.ask` does
        return trial

    def score(self, trial: optuna.Trial) -> float:
        """Return the mean score of the trial's runs."""
        scores = []
        for cfg in configs(self.search, self.overrides, trial.params):
            score = run(cfg, self.folder / run_folder(cfg)).get(self.search.score)
            if score is None or not np.isfinite(score):
                raise UserError(
                    f"{cfg.data.name}, seed {cfg.seed}: the run has no {self.search.score}."
                )
            scores.append(score)
        return float(np.mean(scores))

    def report(self, study: optuna.Study) -> None:
        """Write trials.csv, and print the best settings as overrides."""
        search, trials = self.search, study.trials
        rows = [
            {"trial": t.number, "state": t.state.name.lower(), "score": search.score,
             "by_true_labels": search.oracle, "value": t.value, **t.params, "reason": t.user_attrs.get("reason")}
            for t in trials
        ]  # fmt: skip
        with self.lock("table"), whole_file(self.folder / "trials.csv") as path:
            pd.DataFrame(rows).to_csv(path, index=False)
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        print(
            f"\n{len(trials) - running} of {search.n_trials} trials are done, {running} run in other processes:"
        )
        print(f"  {self.folder / 'trials.csv'}")
        if not any(trial.state == TrialState.COMPLETE for trial in trials):
            sys.exit(0 if running else 1)
        best, mark = (
            study.best_trial,
            " (ORACLE: the true labels judged; to compare only)" if search.oracle else "",
        )
        print(f"\nBest, trial {best.number}, {search.score} {best.value:.4f}{mark}:")
        reusable = [o for o in self.overrides if _key(o) not in ("search", "name")]
        print("  jojoscl " + shlex.join([*reusable, *as_overrides(best.params)]))


def make_sampler(settings: Search, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of the trial with this number."""
    seed = int(np.random.SeedSequence((settings.seed, number)).generate_state(1)[0])
    if settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, constant_liar=True
    )  # keeps away from what other processes try


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
        worker.report(study)


@contextmanager
def study_told(path: Path) -> Iterator[None]:
    """Raise a :class:`UserError` for a study's file that is damaged, or that is none."""
    try:
        yield
    except (
        SQLAlchemyError,
        OptunaError,
        KeyError,
        RuntimeError,
        ValueError,
    ) as error:  # as Optuna tells of damage
        reason = str(error.__cause__ or error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{path} cannot be used as a study ({reason}): move it away and search again, finished runs are kept."
        ) from error


def configs(
    settings: Search, overrides: Sequence[str], params: Mapping[str, object]
) -> list[DictConfig]:
    """Return one configuration for each dataset and seed, with a trial's parameters."""
    return [
        compose([*overrides, f"data={dataset}", f"seed={seed}", *as_overrides(params)])
        for dataset in settings.datasets
        for seed in settings.seeds
    ]


def as_overrides(params: Mapping[str, object]) -> list[str]:
    """Return parameters as Hydra takes them; choices are written so already."""
    return [f"{name}={value}" for name, value in params.items()]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _check(settings: Search, overrides: Sequence[str]) -> None:
    """Refuse, before a study is made, what would make every trial fail."""
    for key, instead in (("data", "datasets"), ("seed", "seeds")):
        if key in map(_key, overrides):
            raise UserError(
                f"In a search {key}= is given as search.{instead}=[...]: a trial is a run on each."
            )
    if any(_key(o).startswith(("launcher", "hydra")) for o in overrides):
        raise UserError(
            "A search uses no launcher: start the same command several times, they share the trials."
        )
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for cfg in configs(settings, overrides, random.ask(settings.distributions).params):
        build(cfg.data), build(cfg.trainer)
