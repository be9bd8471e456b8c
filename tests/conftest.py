"""What several tests need. Nothing here downloads, and nothing is written outside tmp_path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from anndata import AnnData

from jojoscl.data import simulate

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOJOSCL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def cells() -> AnnData:
    """120 simulated cells of 3 types that are easy to tell apart, with their types."""
    return simulate(n_cells=120, n_genes=200, n_types=3, seed=1)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `jojoscl` as a user does, in tmp_path."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from jojoscl.cli import main; main()", *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
