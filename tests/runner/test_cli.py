"""The command line: its help, its words for a typing error, sweeps, and what it does not do twice."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import jojoscl
import jojoscl.runner.run
from jojoscl.baselines.controls import RandomLabels
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.networks.callbacks import LastCheckpoint
from jojoscl.runner.cli import help_text, quoted
from jojoscl.runner.config import compose, keys_of, parse
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import nearest
from jojoscl.utils.files import choices, conf_dir
from tests.children import InProcess

TINY = ("data=simulated", "data.n_cells=60", "data.n_genes=50", "data.n_types=3", "trainer.max_epochs=1",
        "trainer.progress_bar=false", "pictures=false",
        "method=jojoscl_paper", "method.encoder_dims=[8,4]")  # fmt: skip


GROUPS = ("data", "method", "experiment", "search")


# ---- help ----------------------------------------------------------------------------------------


def test_help_lists_every_choice_with_what_it_is():
    for group in GROUPS:
        section = help_text().split(f"\n{group}=\n")[1].split("\n\n")[0]
        lines = [line.split(maxsplit=1) for line in section.splitlines()]
        assert [name for name, *_ in lines] == choices(group)
        assert all(about for _, about in lines)


def test_help_has_five_examples_of_settings_that_exist():
    examples = help_text().split("Examples\n")[1].split("\n\n")[0]
    commands = [re.split(r"\s{2,}", line.strip())[0] for line in examples.splitlines()]
    assert len(commands) == 5
    keys = set(keys_of(compose(["data=h5ad"])))
    for command in commands:
        name, *arguments = command.split()
        assert name == "jojoscl"
        for key, _, values in (word.partition("=") for word in arguments if word != "-m"):
            assert key in keys
            if (conf_dir() / key).is_dir():
                assert set(values.split(",")) <= set(choices(key))


def test_help_and_wrong_settings_wait_for_no_slow_import():
    code = """
import sys
from jojoscl.runner.cli import main
for argument in "--help", "--version", "data=blader", "method.n_draw=3":
    sys.argv[1:] = [argument]
    try:
        main()
    except SystemExit as stop:
        print(stop.code)
print({'torch', 'lightning', 'scanpy', 'sklearn', 'igraph'} & set(sys.modules))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{help_text()}\njojoscl {jojoscl.__version__}\n2\n2\nset()\n"
    assert done.stderr.count("did you mean") == 2


def test_python_m_jojoscl_is_the_command_and_a_reader_may_leave():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "jojoscl", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == help_text() + "\n"


# ---- typing errors -------------------------------------------------------------------------------


def test_one_wrong_letter_in_a_name_is_recognised(in_process):
    for group in GROUPS:
        for name in choices(group):
            typo = name[0] + name[2:]
            assert nearest(typo, choices(group)) == f" (did you mean '{name}'?)"
        done = in_process(f"{group}={typo}")
        assert done.code == 2
        assert done.err == f"jojoscl: {group} has no choice '{typo}' (did you mean '{name}'?).\n"


def test_refused_before_anything_runs(in_process, subtests):
    for argument, words in [
        ("data=glob(zzz*)", "'data=glob(zzz*)' matches nothing: there is nothing to run."),
        ("seed=range(3,3)", "'seed=range(3,3)' matches nothing: there is nothing to run."),
        ("--experimental-rerun=x", "--experimental-rerun is not offered: give the settings."),
        ("launcher=joblib hydra.launcher.foo=3", "There is no setting 'hydra.launcher.foo' (did "),
        ("data=3,4", "data=, method= and other groups take the name of a choice: see jojo"),
    ]:
        with subtests.test(argument=argument):
            done = in_process("-m", *argument.split())
            assert (done.code, done.out) == (2, "")
            assert done.err.startswith(f"jojoscl: {words}")
            assert done.err.count("\n") == 1


def test_a_launcher_without_a_sweep_is_refused(in_process):
    done = in_process("launcher=joblib")
    assert (done.code, done.out) == (2, "")
    assert done.err == "jojoscl: launcher= starts the runs of a sweep: add -m.\n"


# ---- paths ---------------------------------------------------------------------------------------

NAMES = ("größe.h5ad", "k=1.h5ad", "a b,c.h5ad", "[1] (copy).h5ad", "it's {x}.h5ad", "12",
         'back\\"slash.h5ad', "a:b.h5ad", "50%.h5ad", "null.h5ad", "#1&2.h5ad")  # fmt: skip


def test_hydra_reads_a_path_as_it_was_given():
    keys = ("data.path", "+data.metadata", "hydra.run.dir", "++data.root")
    for name, key in product(NAMES, keys):
        (override,) = parse([quoted(f"{key}={name}", several=False)])
        assert override.value() == name, key


def test_home_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/her")
    assert quoted("data.path=~/x.h5ad", several=False) == "data.path='/home/her/x.h5ad'"


def test_words_for_hydra_are_not_quoted():
    own = ["data.path=null", "data.path='a b'", "data.path=${paths.runs}/x", "name=a,b", "seed=1",
           "~data", "data.path=glob(*)", "data.path=", "--cfg"]  # fmt: skip
    assert [quoted(argument, several=True) for argument in own] == own


def test_in_a_sweep_a_comma_stands_between_files_unless_one_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (override,) = parse([quoted("data.path=ä.h5ad,b=1.h5ad", several=True)])
    assert list(override.sweep_string_iterator()) == ["'ä.h5ad'", "'b=1.h5ad'"]
    (tmp_path / "a,b.h5ad").write_text("")
    (override,) = parse([quoted("data.path=a,b.h5ad", several=True)])
    assert override.value() == "a,b.h5ad"


def test_a_pattern_that_names_no_file_is_refused(in_process, tmp_path, cells):
    cells.write_h5ad(tmp_path / "a.h5ad")
    for arguments, way in [
        (("-m", "data.path=a.h5ad,none/*.h5ad"), "give another pattern"),
        (("data.path=none/*.h5ad",), "add -m for a run with each file"),
    ]:
        done = in_process(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err == f"jojoscl: {arguments[-1]} names no file: {way}.\n"


def test_a_run_reads_a_file_with_any_name_and_is_called_by_it(in_process, tmp_path, cells):
    name = "it's größe k=1, (2).h5ad"
    cells.write_h5ad(tmp_path / name)
    own = ("data=h5ad", f"data.path={name}", "n_clusters=3", "method=random", "pictures=false")
    done = in_process(*own)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("it's größe k=1, (2) random seed 0: ")
    assert list(collect(tmp_path / "runs")["path"]) == [name]


# ---- one run -------------------------------------------------------------------------------------


def test_a_run_says_its_scores_and_its_folder(in_process, tmp_path):
    done = in_process(*TINY)
    assert (done.code, done.err) == (0, "")
    scores, folder = done.out.splitlines()[-2:]
    assert re.fullmatch(
        r"simulated jojoscl\w* seed 0: ARI -?\d\.\d{4}  NMI \d\.\d{4}  ACC \d\.\d{4}  F1 \d\.\d{4}  \(\d+ cells x \d+ genes; values: .+\)",
        scores,
    )
    assert (Path(folder.strip()) / "metrics.json").exists()
    assert Path(folder.strip()).is_relative_to(tmp_path / "runs" / "main" / "simulated")


def test_a_run_without_types_says_how_many_clusters(in_process, tmp_path, cells):
    cells.write_h5ad(tmp_path / "mine.h5ad")
    done = in_process(
        "data=h5ad", "data.path=mine.h5ad", "n_clusters=4", "method=random", "pictures=false"
    )
    assert (done.code, done.err) == (0, "")
    assert (
        "mine random seed 0: 4 clusters  (120 cells x 200 genes; values: counts, by whole numbers)\n"
        in done.out
    )


def test_a_refused_run_takes_away_its_own_folders_only(in_process, tmp_path):
    kept = tmp_path / "runs" / "main" / "simulated" / "kept.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("")
    assert in_process(*TINY, "n_clusters=61").code == 2
    assert list((tmp_path / "runs").rglob("*")) == [kept.parents[1], kept.parent, kept]


def test_a_finished_run_says_that_nothing_is_logged(in_process):
    arguments = (*TINY[:-2], "method=random", "hydra.run.dir=run")
    assert "nothing is logged" not in in_process(*arguments).out
    done = in_process(*arguments, "logger=wandb")
    assert "run is finished: nothing is logged; force=true runs it again" in done.out


def test_a_defect_is_shown_with_its_traceback(in_process, monkeypatch):
    monkeypatch.setattr(
        jojoscl.runner.run, "run", Mock(side_effect=RuntimeError("a defect of ours"))
    )
    with pytest.raises(RuntimeError, match="a defect of ours"):
        in_process(*TINY)


def test_a_full_disk_and_full_memory_wherever_they_are_met_are_one_sentence(
    in_process, tmp_path, monkeypatch
):
    run = f"No space left to write {tmp_path / 'run'}: free some disk or choose another folder."
    for error, words in (
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), run),
        (MemoryError(), "There is not enough memory: .*"),
    ):
        monkeypatch.setattr(jojoscl.runner.run, "run", Mock(side_effect=error))
        done = in_process(*TINY, "hydra.run.dir=run")
        assert done.code == 2
        assert re.fullmatch(f"jojoscl: {words}\n", done.err)


def test_a_name_that_is_too_long_is_one_sentence(in_process, tmp_path, subtests):
    for arguments in [("name=" + "a" * 300,), ("data=h5ad", "data.path=" + "é" * 200 + ".h5ad")]:
        with subtests.test(arguments=arguments):
            done = in_process("method=random", "n_clusters=3", *arguments)
            assert done.code == 2
            assert re.fullmatch(r"jojoscl: .*(too long|does not exist).*\.\n", done.err)
            assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_run_folder_that_is_removed_is_one_sentence(in_process, tmp_path, monkeypatch):
    fit_predict = RandomLabels.fit_predict

    def removing(*args: Any, **kwargs: Any) -> Any:
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run").write_text("")
        return fit_predict(*args, **kwargs)

    monkeypatch.setattr(RandomLabels, "fit_predict", removing)
    done = in_process("method=random", *TINY[:4], "pictures=false", "hydra.run.dir=run")
    assert done.code == 2
    assert re.fullmatch(r"jojoscl: .*run/labels.csv cannot be written .*\.\n", done.err)


# ---- interruption --------------------------------------------------------------------------------


SWEEP = ("-m", "seed=0,1")
STAGES = {
    "load": (SimulatedDataset, "load"),
    "training": (LastCheckpoint, "on_train_epoch_end"),
    "assign": (jojoscl.runner.run, "evaluate"),
}


@pytest.mark.parametrize(
    ("stage", "mode", "number"),
    [
        ("load", (), signal.SIGTERM),
        ("load", SWEEP, signal.SIGINT),
        ("training", (), signal.SIGINT),
        ("training", SWEEP, signal.SIGTERM),
        ("assign", (), signal.SIGTERM),
        ("assign", SWEEP, signal.SIGINT),
    ],
)
def test_a_signal_ends_the_command_with_its_code_and_the_same_command_goes_on(
    in_process, tmp_path, monkeypatch, stage, mode, number
):
    with monkeypatch.context() as patch:
        patch.setattr(*STAGES[stage], lambda *_: signal.raise_signal(number))
        done = in_process(*mode, *TINY)
    words = "jojoscl: interrupted; the same command goes on.\n"
    assert (done.code, done.err) == (128 + number, words)
    for left in ("metrics.json", "failed.txt", ".*"):  # no lock, no temporary file
        assert not list(tmp_path.rglob(left)), left
    if stage == "training" and not mode:
        assert in_process(*TINY).code == 0


def test_ctrl_c_leaves_a_command_in_the_background(in_process, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts it
    try:
        load = SimulatedDataset.load

        def interrupted(self: SimulatedDataset) -> Any:
            signal.raise_signal(signal.SIGINT)
            return load(self)

        monkeypatch.setattr(SimulatedDataset, "load", interrupted)
        assert in_process(*TINY[:-2], "method=pca_kmeans").code == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_that_a_signal_has_made_is_no_failed_job(in_process, tmp_path, monkeypatch):
    def load(*_: Any) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("half-way") from None

    monkeypatch.setattr(SimulatedDataset, "load", load)
    assert in_process("-m", *TINY, "seed=0,1").code == 143
    assert not list(tmp_path.rglob("failed.txt"))


# ---- sweeps --------------------------------------------------------------------------------------


def sweep(in_process: InProcess, *overrides: str) -> Any:
    return in_process("-m", *TINY[:-2], "method=pca_kmeans", *overrides)


def test_a_sweep_goes_on_after_a_failing_job_and_ends_with_1(in_process, tmp_path):
    done = sweep(in_process, "n_clusters=2,61,3")
    assert (done.code, done.err) == (1, "")
    (failed,) = (tmp_path / "runs").rglob("failed.txt")
    sentence = "61 clusters were asked for, but there are only 60 cells: ask for fewer."
    assert failed.read_text() == f"{sentence}\n"
    assert [path.name for path in failed.parent.iterdir()] == ["failed.txt"]
    assert done.out.endswith(f"\nFailed: {failed.parent.relative_to(tmp_path)}: {sentence}\n")
    runs = collect(tmp_path / "runs")
    assert sorted(runs["n_clusters"]) == [2, 3]

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    again = sweep(in_process, "n_clusters=2,61,3")
    assert again.code == 1, "what failed is tried again"
    assert {
        path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")
    } == written

    other = sweep(in_process, "n_clusters=2,3")
    assert other.code == 0, "the failure is of an earlier sweep"
    assert "Failed" not in other.out
    rows = [line.split() for line in other.out.splitlines() if line.startswith("simulated ")]
    assert sorted(row[-7:-5] for row in rows[-2:]) == [["2", "1"], ["3", "1"]], (
        "a row of the table for each K"
    )


def test_a_failed_job_that_succeeds_is_no_failure_any_more(in_process, tmp_path, cells):
    own = ("data=h5ad", "data.path=mine.h5ad", "n_clusters=3")
    arguments = ("-m", *own, "method=random", "pictures=false", "seed=0,1")
    first = in_process(*arguments)
    assert first.code == 1
    assert first.out.count("mine.h5ad does not exist") == 2
    cells.write_h5ad(tmp_path / "mine.h5ad")
    second = in_process(*arguments)
    assert (second.code, second.err) == (0, "")
    assert "Failed" not in second.out
    assert len(collect(tmp_path / "runs")) == 2


def test_a_defect_in_a_sweep_is_kept_with_its_traceback(in_process, tmp_path, monkeypatch):
    def broken(job: Any, folder: Path) -> dict[str, Any]:
        if job.settings.seed == 0:
            raise RuntimeError("a defect of ours")
        return {
            "dataset": "simulated",
            "method": "jojoscl",
            "seed": 1,
            "n_clusters": 3,
            "n_cells": 9,
            "n_genes": 9,
        }

    monkeypatch.setattr(jojoscl.runner.run, "run", broken)
    done = sweep(in_process, "seed=0,1")
    assert done.code == 1
    assert "simulated jojoscl seed 1: 3 clusters" in done.out
    (failed,) = (tmp_path / "runs").rglob("failed.txt")
    assert failed.read_text().startswith("Traceback")
    assert failed.read_text().endswith("RuntimeError: a defect of ours\n")


def test_a_sweep_with_an_unknown_choice_does_not_begin(in_process, tmp_path):
    done = in_process("-m", "data=yan,blader")
    assert done.code == 2
    assert done.err == "jojoscl: data has no choice 'blader' (did you mean 'bladder'?).\n"
    assert not list(tmp_path.rglob("yan"))


def test_a_sweep_that_cannot_be_done_is_one_sentence(in_process, monkeypatch, subtests):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    no_start = (
        r"The jobs did not start, or were killed \(RuntimeError\(.*{}.*\)\): check launcher= "
    )
    no_start += "and the memory; the same command goes on."
    no_slurm = 'Could not detect "srun", are you indeed on a slurm cluster'
    for argument, words in {
        "trainer.devices=2": "A sweep trains on one device: leave out -m, or trainer.devices.",
        "launcher=slurm": no_start.format(no_slurm),
        "hydra.launcher._target_=math.sqrt": no_start.format("Invalid plugin 'math.sqrt'"),
    }.items():
        with subtests.test(argument=argument):
            done = in_process("-m", *TINY, "seed=0,1", argument)
            assert done.code == 2
            assert re.fullmatch(f"jojoscl: {words}\n", done.err)


def test_a_sweep_over_methods(in_process, tmp_path):
    done = in_process("-m", *TINY[:-2], "method=random,pca_kmeans")
    assert (done.code, done.err) == (0, "")
    assert sorted(collect(tmp_path / "runs")["method"]) == ["pca_kmeans", "random"]
