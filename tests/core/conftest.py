"""The cells and the methods that several rooms test with, and a fitted model."""

from pathlib import Path

import pytest
from anndata import AnnData

import jojoscl
from jojoscl.core.fitted import Fitted
from jojoscl.datasets.simulate import simulate
from tests.small import bare, cells, method, quiet

__all__ = ["bare", "cells", "method", "quiet"]


@pytest.fixture(scope="session")
def both() -> AnnData:
    """300 cells of 3 types, 200 of them for the fit."""
    return simulate(300, 600, 3, library_size=3000.0, marker_fraction=0.3, seed=1)


@pytest.fixture(scope="session")
def old(both: AnnData) -> AnnData:
    return both[:200].copy()


@pytest.fixture(scope="session")
def new(both: AnnData) -> AnnData:
    return both[200:].copy()


@pytest.fixture(scope="session")
def model(old: AnnData) -> Fitted:
    return jojoscl.JojoSCL().fit(old, 3)


@pytest.fixture
def path(model: Fitted, tmp_path: Path) -> Path:
    model.save(tmp_path / "model.npz")
    return tmp_path / "model.npz"
