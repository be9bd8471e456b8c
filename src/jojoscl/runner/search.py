"""A search for settings by Optuna: `jojoscl search=<name>`. Processes with one command share it.

A trial is one run on every dataset and seed, in ordinary run folders beside the study's `study.db`;
a finished run is not repeated. Optuna sees by its heartbeat that a process has died, and another
process does its trial again.
"""

import json
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from jojoscl.runner.config import Plain, Resolved, build, compose
from jojoscl.runner.run import run
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import write_whole
from jojoscl.utils.settings import Settings, setting

HEARTBEAT_SECONDS = 30  # a process that has been silent for twice as long is dead
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_STATES = {"COMPLETE": "complete", "PRUNED": "fail", "FAIL": "lost", "RUNNING": "running"}


@dataclass(kw_only=True)
class Search(Settings):
    """A search for settings by the silhouette of the clusters, which needs no labels."""

    n_trials: int = setting(30, "Trials in all processes together.", low=1)
    seed: int = setting(0, "Seed of the sampler of the first process.", low=0, high=2**32 - 1)
    datasets: list[str] = setting([], "Data sets: a trial is one run on each.")
    seeds: list[int] = setting([0], "Seeds: a trial is one run with each.", low=0, high=2**32 - 1)
    space: dict[str, object] = setting({}, "Settings by dotted names, as Optuna's distributions.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.datasets and self.seeds and self.space):
            raise UserError("A search needs search.datasets, search.seeds and search.space.")
        self.distributions: dict[str, optuna.distributions.BaseDistribution] = {}
        for name, spec in self.space.items():
            try:
                given: dict[str, Any] = dict(spec)  # type: ignore[call-overload]
                kind = getattr(optuna.distributions, f"{given.pop('type').title()}Distribution")
                self.distributions[name] = kind(**given)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UserError(f"search.space: {name} is no parameter ({error}).") from error


def search(overrides: Sequence[str]) -> None:
    """Do this process's share of a search, and print the best settings known then."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)  # the heartbeat, since 2.8
    # Settings of the data wait until the datasets are known.
    cfg = compose([o for o in overrides if _key(o).startswith(("search", "name", "paths."))])
    settings: Search = build(cfg.search)
    fixed = [o for o in overrides if not _key(o).startswith("search.")]
    _check(settings, fixed)
    folder = Path(cfg.paths.runs) / cfg.name

    def objective(trial: optuna.Trial) -> float:
        params = {k: trial._suggest(k, d) for k, d in settings.distributions.items()}
        words = shlex.join(as_overrides(params))
        try:
            value = score(settings, fixed, params, folder)
        except Exception as error:  # the next trial may not fail
            trial.set_user_attr("reason", str(error) or repr(error))
            print(f"trial {trial.number}: failed: {error!s}  {words}")
            raise optuna.TrialPruned from error
        print(f"trial {trial.number}: silhouette {value:.4f}  {words}")
        return value

    try:
        study = opened(settings, fixed, folder)
        if len(study.get_trials(states=DONE)) < settings.n_trials:
            study.optimize(objective, callbacks=[MaxTrialsCallback(settings.n_trials, DONE)])
        report(settings, study, fixed, folder)
    except (SQLAlchemyError, OptunaError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        path = folder / "study.db"
        raise UserError(f"{path} is damaged ({reason}): move it away and try again.") from error


def _check(settings: Search, overrides: Sequence[str]) -> None:
    """Refuse, before a study is made, what would make every trial fail."""
    for key in map(_key, overrides):
        if key in ("data", "seed"):
            raise UserError(f"A search has search.datasets= and search.seeds=, no {key}=.")
    any_trial = optuna.create_study().ask(settings.distributions)
    for job in jobs(settings, overrides, any_trial.params):
        job.check()


def opened(settings: Search, overrides: Sequence[str], folder: Path) -> optuna.Study:
    """Return the study; a :class:`UserError` if another process began it with other settings."""
    asked = settings.plain() | {"overrides": sorted(overrides)}
    del asked["n_trials"]  # more may be added to a finished search
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # two processes that make the tables at once would fail
        storage = RDBStorage(
            f"sqlite:///{folder.absolute() / 'study.db'}",
            # Seconds to wait for another process; no connection is left open.
            engine_kwargs={"connect_args": {"timeout": 60}, "poolclass": NullPool},
            heartbeat_interval=HEARTBEAT_SECONDS,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )
        study = optuna.create_study(
            storage=storage, study_name=folder.name, direction="maximize", load_if_exists=True
        )
        begun = study.user_attrs.get("settings")
        study.set_user_attr("settings", begun or asked)
    if begun not in (None, asked):
        raise UserError(f"{folder} holds a search with other settings: give another name=.")
    # Processes with one seed would propose the same: only the first has the seed asked for.
    # constant_liar: keeps away from what other processes try.
    study.sampler = TPESampler(seed=None if begun else settings.seed, constant_liar=True)
    return study


def score(settings: Search, overrides: Sequence[str], params: Plain, folder: Path) -> float:
    """Return the mean score of a trial's runs."""
    scores = []
    for job in jobs(settings, overrides, params):
        value = run(job, folder / job.folder)["silhouette"]
        if value is None:
            where = f"{job.data.name}, seed {job.settings.seed}"
            raise UserError(f"{where}: the run has no silhouette.")
        scores.append(value)
    return float(np.mean(scores))


def jobs(settings: Search, overrides: Sequence[str], params: Plain) -> Iterator[Resolved]:
    """Yield a job for each dataset and seed, with a trial's parameters."""
    for dataset in settings.datasets:
        for seed in settings.seeds:
            own = [f"data={dataset}", f"seed={seed}", *as_overrides(params)]
            yield Resolved.of(compose([*overrides, *own]))


def report(settings: Search, study: optuna.Study, overrides: Sequence[str], folder: Path) -> None:
    """Write trials.csv, and print the best settings as a command."""
    table = study.trials_dataframe(("number", "state", "value", "params", "user_attrs"))
    table.columns = table.columns.str.replace("^(params|user_attrs)_", "", regex=True)
    table = table.rename(columns={"number": "trial"}).replace({"state": _STATES})
    write_whole(folder / "trials.csv", table.to_csv(index=False))
    done = len(study.get_trials(states=DONE))
    print(f"\n{done} of {settings.n_trials} trials are done: {folder / 'trials.csv'}")
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        sys.exit(1)
    best = study.best_trial
    print(f"\nBest, trial {best.number}, silhouette {best.value:.4f}:")
    line = [
        *(["-m"] if len(settings.datasets) * len(settings.seeds) > 1 else []),
        f"data={','.join(settings.datasets)}",
        f"seed={','.join(map(str, settings.seeds))}",
        *(o for o in overrides if _key(o) not in ("search", "name")),
        *as_overrides(best.params),
    ]
    print(f"  jojoscl {shlex.join(line)}")


def as_overrides(params: Plain) -> list[str]:
    """Return parameters as Hydra takes them; a word stands as it is, and so may a list in it."""
    return [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in params.items()]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
