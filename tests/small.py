"""What tests of several rooms share: small cells, methods as their YAML makes them, refusals."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from jojoscl.cells.checks import without_labels
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.runner.config import build, compose
from jojoscl.utils.errors import UserError


@pytest.fixture(scope="session")
def cells() -> AnnData:
    """120 cells x 150 genes of 3 clear types, with their true types."""
    return simulate(
        120, 150, 3, type_sizes=[0.5, 0.3, 0.2], library_size=3000.0, dropout=0.1,
        marker_fraction=0.3, fold_change_sd=1.5, seed=3,
    )  # fmt: skip


@pytest.fixture
def bare(cells: AnnData) -> AnnData:
    """The same cells as a method sees them."""
    return without_labels(cells)


@pytest.fixture
def method() -> Callable[..., Any]:
    """A method by the name of its file, with settings in place of the file's: method("sccl", "epochs=2")."""

    def make(name: str, *settings: str) -> Any:
        own = (f"method.{setting}" for setting in settings)
        return build(compose([f"method={name}", *own]).method)

    return make


@pytest.fixture
def quiet() -> Run:
    """Nothing is written, nothing is shown."""
    return Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False))


def blobs(n_each: int = 30, n_blobs: int = 5) -> np.ndarray:
    """Return clusters of points in four dimensions, far apart, one after another."""
    rng = np.random.default_rng(0)
    centres = 8 * rng.standard_normal((n_blobs, 4))
    return np.concatenate([centre + rng.standard_normal((n_each, 4)) for centre in centres])


def assert_refused(call: Callable[[Any], object], *cases: tuple[Any, str]) -> None:
    """Assert that `call` refuses what each case gives by one sentence with its words, or name each that it does not."""
    wrong = []
    for given, words in cases:
        try:
            call(given)
            said = "no error"
        except UserError as error:
            said = str(error)
            if re.search(words, said) and "\n" not in said:
                continue
        except Exception as error:
            said = repr(error)
        wrong.append(f"{given!r}: {said}, in place of {words!r}")
    assert not wrong, "\n".join(wrong)
