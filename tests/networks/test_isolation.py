"""A call changes nothing of the process, and nothing of the process changes a call."""

import logging
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData
from threadpoolctl import threadpool_info, threadpool_limits

from jojoscl.baselines.controls import PCAKMeans, RandomLabels
from jojoscl.baselines.graph import Leiden, Seurat
from jojoscl.core.interface import Result
from jojoscl.core.method import JojoSCL
from jojoscl.networks.contrastive_sc import ContrastiveSC
from jojoscl.networks.fit import isolated
from jojoscl.networks.paper import PaperJojoSCL
from jojoscl.networks.scdeepcluster import ScDeepCluster
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.utils.errors import UserError

QUIET = Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False))
SMALL: dict[str, Any] = {"n_dims": 8, "n_small": 30, "n_draws": 1}
METHODS: dict[str, Callable[[], Any]] = {
    "jojoscl": lambda: JojoSCL(**SMALL),
    "paper": lambda: PaperJojoSCL(encoder_dims=[16, 8], epochs=2),
    "contrastive_sc": lambda: ContrastiveSC(encoder_dims=[16, 8], epochs=2),
    "scdeepcluster": lambda: ScDeepCluster(
        encoder_dims=[16, 8], pretrain_epochs=2, epochs=2, kmeans_starts=2
    ),
    "leiden": Leiden,
    "seurat": lambda: Seurat(match_k=True),
    "pca_kmeans": PCAKMeans,
    "random": RandomLabels,
}


def fitted(name: str, bare: AnnData) -> Result:
    method = METHODS[name]()
    more = {"run": QUIET} if method.takes_run else {}
    result: Result = method.fit_predict(bare, 3, **more)
    return result


def of_the_process() -> dict[str, Any]:
    """All that a call might move."""
    return {
        "python": random.getstate(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().tolist(),
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "pools": [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()],
        "filters": list(warnings.filters),
        "levels": [logging.getLogger(f"lightning.{name}").level for name in ("pytorch", "fabric")],
    }


@pytest.mark.parametrize("name", METHODS)
def test_no_method_moves_global_state(name, bare):
    fitted(name, bare)  # loads what it needs
    before = of_the_process()
    fitted(name, bare)
    assert of_the_process() == before


def test_state_is_restored_after_errors_too(bare):
    before = of_the_process()
    with pytest.raises(UserError, match="ask for fewer"):
        PaperJojoSCL().fit_predict(bare, 1000, run=QUIET)
    assert of_the_process() == before
    with pytest.raises(ZeroDivisionError):
        moves_all_and_fails()
    assert of_the_process() == before


@isolated(3)
def moves_all_and_fails() -> None:
    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    raise ZeroDivisionError


def assert_same(one: Result, two: Result) -> None:
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.embedding, two.embedding)


@pytest.mark.parametrize("name", ["jojoscl", "paper", "scdeepcluster"])
def test_global_state_of_the_user_does_not_change_the_result(name, bare):
    """Number of threads, seeds."""
    expected = fitted(name, bare)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(99)
        with threadpool_limits(2):
            found = fitted(name, bare)
    finally:
        torch.set_num_threads(threads)
    assert found.embedding.dtype == np.float32
    assert_same(found, expected)


@pytest.mark.parametrize("name", ["jojoscl", "seurat"])
def test_python_threads_get_the_clusters_of_one(name, bare):
    expected = fitted(name, bare)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(fitted, [name] * 2, [bare] * 2):
            assert_same(found, expected)


HASHES = """
import hashlib
import numpy as np
import jojoscl
from jojoscl.cells.checks import without_labels
from jojoscl.networks.contrastive_sc import ContrastiveSC
from jojoscl.networks.settings import Run, TrainerSettings

def hashes(size):
    kept = [np.empty(size) for _ in range(9)]  # other addresses in memory
    cells = without_labels(jojoscl.simulate(n_cells=200, n_genes=300, n_types=3, seed=1))
    run = Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False, max_epochs=2))
    for kind in (jojoscl.PaperJojoSCL, jojoscl.ReleasedJojoSCL, ContrastiveSC):
        found = kind().fit_predict(cells, 3, seed=0, run=run)
        yield hashlib.sha256(found.embedding.tobytes() + found.labels.tobytes()).hexdigest()
"""


def test_processes_on_one_machine_give_the_same_bits():
    """Whatever the environment says of threads, and wherever the arrays are in memory."""
    env = os.environ | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    command = [sys.executable, "-c", HASHES + "print(*hashes(70001))"]
    other = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, check=True)
    here: dict[str, Any] = {}
    exec(HASHES, here)
    assert other.stdout.split() == list(here["hashes"](1))
