"""What several tests need. Nothing here downloads, and nothing is written outside tmp_path."""

import gc
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anndata import AnnData

from jojoscl.datasets.simulate import simulate
from jojoscl.runner.cli import main
from tests import children
from tests.children import Command, Done, InProcess

# Started in the background a shell lets SIGINT be ignored, and children would inherit that: tests
# send it to them.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Let garbage collection pass over what the imports have made, a million objects, from now on."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def cells() -> AnnData:
    """120 simulated cells of 3 types that are easy to tell apart, with their types."""
    return simulate(n_cells=120, n_genes=200, n_types=3, seed=1)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `jojoscl` in a process of its own, in tmp_path."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        code, out, err = children.start(
            children.MAIN, *arguments, folder=tmp_path, **environment
        ).ended()
        assert code is not None, err
        return subprocess.CompletedProcess(arguments, code, out, err)

    return run


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[InProcess]:
    """As `command`, but in this process, which saves the seconds that the imports take."""
    monkeypatch.chdir(tmp_path)
    for name in ("HYDRA_FULL_ERROR", "GOMP_SPINCOUNT"):  # which the command sets
        monkeypatch.setenv(name, "1")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["jojoscl", *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        finally:  # a process of the command's own would end here
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return Done(code, *capsys.readouterr())

    yield run
    root.handlers[:] = handlers  # Hydra's write to a stdout that ends with the test
    root.setLevel(level)
