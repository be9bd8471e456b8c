"""The command `jojoscl`: a Hydra application whose errors are one sentence.

What a run needs takes seconds to import: it is imported once it is used.
"""

import os
import re
import signal
import sys
import traceback
from contextlib import suppress
from glob import glob
from pathlib import Path
from types import FrameType

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import jojoscl
from jojoscl.runner.config import Resolved, keys_of, parse
from jojoscl.runner.sweep import FAILED, PAGE, SCORES, title
from jojoscl.utils.errors import UserError, check_installed, nearest, stop
from jojoscl.utils.files import choices, conf_dir, unwritable, write_whole

_PATHS = re.compile(r"\+{0,2}(data\.(path|metadata|root)|paths\.\w+|hydra\.\w+\.dir|model|output)")
_FOR_HYDRA = re.compile(r"""null|["'].*["']|(glob|choice|shuffle|sort)\(.*\)|.*\$\{.*|""")
_NO_MEMORY = re.compile(r"out of memory|can(no|')t allocate|unable to allocate", re.I)
_OF_DATA = re.compile(r"(?<=[ (])(layer|kind)=")  # in Python; data.layer= in a command
_UNKNOWN = re.compile(r"Could not (?:override|append to|delete)(?: from config\.)? '([^'@]+)")
_received: list[int] = []  # the numbers of the signals that came


def main() -> None:
    """Run the command.

    Exit codes: 0 done, 1 a run failed or a defect of ours, 2 something the user can mend, 130
    Ctrl-C, 143 SIGTERM.
    """
    _received.clear()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # Ctrl-C leaves a job in the background
            signal.signal(number, _interrupt)
    try:
        command(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BaseException as error:
        if _received:
            stop("interrupted; the same command goes on.", "jojoscl", 128 + _received[0])
        if words := sentence(error):
            stop(words, "jojoscl")
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Make SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    _received.append(number)
    raise KeyboardInterrupt


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
    if arguments[:1] == ["predict"]:
        from jojoscl.runner.predict import predict

        predict(arguments[1:])
        return
    found = get_args_parser().parse_args(arguments)
    if found.experimental_rerun:  # which unpickles a file
        raise UserError("--experimental-rerun is not offered: give the settings.")
    launched = any(override.startswith("launcher=") for override in found.overrides)
    if several and not found.config_dir:
        _check_sweeps(found.overrides)
    if not found.cfg and any(o.startswith("search=") for o in found.overrides):
        if several or launched:
            way = "leave out -m and launcher=, and give each setting one value"
            raise UserError(f"A search is no sweep: {way}.")
        check_installed("A search", "optuna", "sweep")
        from jojoscl.runner.search import search

        search(found.overrides)
        return
    if launched and not several and not found.cfg:
        raise UserError("launcher= starts the runs of a sweep: add -m.")
    sys.argv[1:] = arguments  # which Hydra reads
    try:
        hydra.main(config_path=str(conf_dir()), config_name="train", version_base="1.3")(job)()
    except Exception as error:
        if several and not sentence(error):  # a job keeps its own errors: this is what starts them
            way = f"({error!r}): check launcher= and the memory; the same command goes on"
            raise UserError(f"The jobs did not start, or were killed {way}.") from error
        raise


def _check_sweeps(overrides: list[str]) -> None:
    """Refuse a sweep over nothing, which Hydra would call done."""
    for sweep in filter(Override.is_discrete_sweep, parse(overrides)):
        value = sweep.value()
        names = choices(str(sweep.key_or_group))
        if not (value.filter(names) if isinstance(value, Glob) else [*sweep.sweep_iterator()]):
            raise UserError(f"{sweep.input_line!r} matches nothing: there is nothing to run.")


def quoted(argument: str, *, several: bool) -> str:
    """Return an argument with its path, if it gives one, quoted for Hydra, and ``~`` written out.

    With `several`, in a sweep, commas stand between paths, and ``*`` for those that there are,
    unless there is a file with that name.

    >>> quoted("data.path=a=b (1).h5ad", several=False)
    "data.path='a=b (1).h5ad'"
    >>> quoted("data.path=a b.h5ad,c.h5ad", several=True)
    "data.path='a b.h5ad','c.h5ad'"
    """
    key, _, value = argument.partition("=")
    for_hydra = _FOR_HYDRA.fullmatch(value) and not os.path.exists(value)
    if for_hydra or not _PATHS.fullmatch(key):
        return argument
    paths = [os.path.expanduser(value)]
    if several and not os.path.exists(paths[0]):
        named = map(os.path.expanduser, value.split(","))
        paths = [path for name in named for path in sorted(glob(name)) or [name]]
    if any("*" in path and not os.path.exists(path) for path in paths):
        way = "give another pattern" if several else "add -m for a run with each file"
        raise UserError(f"{argument} names no file: {way}.")
    return f"{key}={','.join(QuotedString(p, Quote.single).with_quotes() for p in paths)}"


def job(cfg: DictConfig) -> None:
    """Do one run; in a sweep a failure is written to the run's folder and the sweep goes on."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    alone = HydraConfig.get().mode != RunMode.MULTIRUN
    try:
        resolved = Resolved.kept(cfg)
        from jojoscl.runner.run import run

        metrics = run(resolved, folder)
    except Exception as error:
        if _received:
            raise KeyboardInterrupt from error
        words = sentence(error, folder)
        if not alone:
            write_whole(folder / FAILED, f"{words}\n" if words else traceback.format_exc())
            return
        with suppress(OSError):  # not empty
            folder.rmdir()
            if folder.is_relative_to(Path.cwd()):  # elsewhere the folders above are the user's
                os.removedirs(os.path.relpath(folder.parent))
        if words:
            stop(words, "jojoscl")  # from here: Hydra would add lines of its own
        raise
    (folder / FAILED).unlink(missing_ok=True)
    print(result_line(metrics))
    if alone:  # a sweep names one page of all runs
        page = folder / PAGE
        print(f"  {page if page.exists() else folder}")


def result_line(metrics: dict[str, object]) -> str:
    """Return a run and its scores in one line."""
    scores = "  ".join(f"{name.upper()} {metrics[name]:.4f}" for name in SCORES if name in metrics)
    if not scores or "n_clusters_estimated" in metrics:
        scores = f"{metrics['n_clusters']} clusters  {scores}".rstrip()
    cells = f"{metrics['n_cells']} cells x {metrics['n_genes']} genes"
    about = f"{cells}; values: {metrics.get('kind')}, by {metrics.get('kind_decided_by')}"
    return f"{title(metrics)} {metrics['method']} seed {metrics['seed']}: {scores}  ({about})"


def help_text() -> str:
    """Return examples, and all choices in `conf/`, each with what its file says of it."""
    groups = ""
    for group in ("data", "method", "experiment", "search"):
        groups += f"\n{group}=\n"
        for name in choices(group):
            text = (conf_dir() / group / f"{name}.yaml").read_text(encoding="utf-8")
            about = re.search(r"^(?:# (?!@)|  summary: )(.*)", text, re.M)
            groups += f"  {name:<21} {about and about[1]}\n"
    text = Path(__file__).with_name("help.txt").read_text(encoding="utf-8")
    return text.format(groups=groups).rstrip()


def sentence(error: BaseException, folder: Path | None = None) -> str | None:
    """Return what to say of `error`, met in a run in `folder`; None for a defect of ours."""
    if isinstance(error, UserError):
        words = _OF_DATA.sub(r"data.\1=", str(error))
        return words.replace("give adata.T.", "change data.transpose.")
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explained(error)
    if isinstance(error, ValueError) and "group override must be" in str(error):  # Hydra's
        return "data=, method= and other groups take the name of a choice: see jojoscl --help."
    no_memory = isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(str(error))
    if isinstance(error, MemoryError) or no_memory:
        return "There is not enough memory: allow more, or take an h5ad with data.backed=true."
    if isinstance(error, OSError) and error.errno:
        path = error.filename or folder or "A file"
        return str(unwritable(path, error) or f"{path} cannot be used ({error.strerror}).")
    return None


def explained(error: Exception) -> str:
    """Return an error of Hydra or OmegaConf in one sentence that names the nearest valid key."""
    message = str(error.__cause__ if not str(error) else error)
    message = message.removeprefix("UserError raised while resolving interpolation: ")
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        if group == "hydra/launcher":
            return "launcher= needs a package: pip install 'jojoscl[launchers]'."
        return f"{group or 'jojoscl'} has no choice {name!r}{nearest(name, error.options)}."
    if isinstance(error, OverrideParseException):
        way = "write key=value, and a value with special characters in two quotes, \"key='value'\""
        return f"{error.override!r} cannot be read: {way}."
    if found := _UNKNOWN.search(message):
        around = getattr(error.__cause__, "parent_node", None)  # where OmegaConf looked for it
        groups = (path.name for path in conf_dir().iterdir())
        full = re.search(rf"full_key: ({re.escape(found[1])}\S*)", str(error.__cause__))
        key = (full or found)[1]  # the full one is that of a key within {...}
        near = nearest(key, [*groups, *(keys_of(around._get_root()) if around else ())])
        near = near if "did you mean" in near else ": jojoscl --cfg job shows all"
        return f"There is no setting {key!r}{near}."
    if found := re.search(r"Ambiguous value for argument '(.+)'", message):
        return f"{found[1]!r} gives several values: add -m for a run with each, or write [1,2]."
    return message.splitlines()[0].rstrip(".") + "."
