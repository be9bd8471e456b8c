"""What the benchmarks share: options, cells in files, and processes that measure themselves.

The processes that are timed import this module, so it imports nothing slow at its top.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

from jojoscl.runner.machine import peak_memory_mb
from jojoscl.utils.files import whole_file

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser that takes `--json FILE`."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--json", type=Path, help="file of the numbers")
    return made


def methods(parser: argparse.ArgumentParser, names: Mapping[str, object], up_to: int) -> None:
    """Add the options of a benchmark that runs several methods, each in a process of its own."""
    parser.add_argument("--methods", nargs="+", choices=names, default=list(names))
    parser.add_argument("--up-to", type=int, default=up_to, help="above, jojoscl alone is run")
    parser.add_argument("--one", choices=names, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)


def chosen(arguments: argparse.Namespace, path: Path) -> list[str]:
    """Return the methods that are run on the cells in a file: of many cells jojoscl alone."""
    few = ad.read_h5ad(path, backed="r").n_obs <= arguments.up_to
    return [name for name in arguments.methods if few or name.startswith("jojoscl")]


def write_json(path: Path | None, found: object, indent: int | None = None) -> None:
    """Write what was found, where a file was asked for."""
    if path:
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(found, indent=indent) + "\n")


def answer(*arguments: object, threads: int | None = None) -> Any:
    """Return what a process of Python prints last, as JSON."""
    environment = dict(os.environ) | (dict.fromkeys(THREADS, str(threads)) if threads else {})
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def one_method(method: str, path: Path, threads: int) -> Any:
    """Run this script again, with the same options, for one method and file."""
    arguments = [*sys.argv, "--one", method, "--path", path]
    return answer(*arguments, threads=threads)


def files(makes: Mapping[str, Callable[[], ad.AnnData]]) -> Iterator[Path]:
    """Write one file of cells after another; each is there only until the next."""
    with tempfile.TemporaryDirectory() as folder:
        for stem, make in makes.items():
            path = Path(folder) / f"{stem}.h5ad"
            make().write_h5ad(path)
            yield path
            path.unlink()


def measured(
    arguments: argparse.Namespace, truth: np.ndarray, labels: np.ndarray, begin: float
) -> dict[str, Any]:
    """Return what this process took since `begin`, and how its labels (n,) agree with the types."""
    seconds, processor, peak = time.time() - begin, time.process_time(), peak_memory_mb()
    from sklearn.metrics import adjusted_rand_score

    return {
        "cells": arguments.path.stem,
        "n_cells": len(labels),
        "method": arguments.one,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "peak_gb": round(peak / 1e3, 2),
        "n_clusters": len(np.unique(labels)),
        "ari": round(float(adjusted_rand_score(truth, labels)), 3),
    }
