"""jojoscl: shrinkage contrastive learning for clustering single-cell RNA-seq."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jojoscl import pl
    from jojoscl.api import cluster, predict
    from jojoscl.core.method import JojoSCL
    from jojoscl.core.model_file import load
    from jojoscl.datasets.load import load_dataset
    from jojoscl.datasets.simulate import simulate
    from jojoscl.networks.paper import PaperJojoSCL, ReleasedJojoSCL
    from jojoscl.tools.compare import compare
    from jojoscl.tools.cut import cut
    from jojoscl.tools.markers import markers
    from jojoscl.tools.names import name_clusters
    from jojoscl.tools.splits import split_tests
    from jojoscl.utils.errors import UserError

    __version__: str

__all__ = [
    "JojoSCL",
    "PaperJojoSCL",
    "ReleasedJojoSCL",
    "UserError",
    "__version__",
    "cluster",
    "compare",
    "cut",
    "load",
    "load_dataset",
    "markers",
    "name_clusters",
    "pl",
    "predict",
    "simulate",
    "split_tests",
]

_HOMES = {
    "JojoSCL": "core.method",
    "PaperJojoSCL": "networks.paper",
    "ReleasedJojoSCL": "networks.paper",
    "UserError": "utils.errors",
    "cluster": "api",
    "compare": "tools.compare",
    "cut": "tools.cut",
    "load": "core.model_file",
    "load_dataset": "datasets.load",
    "markers": "tools.markers",
    "name_clusters": "tools.names",
    "predict": "api",
    "simulate": "datasets.simulate",
    "split_tests": "tools.splits",
}


def __getattr__(
    name: str,
) -> object:  # torch and scanpy take seconds to import: only when they are used
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("jojoscl")
    if name == "pl":
        return importlib.import_module("jojoscl.pl")
    if name in _HOMES:
        if _HOMES[name].startswith("networks"):
            importlib.import_module("jojoscl.utils.errors").check_networks()
        return getattr(importlib.import_module(f"jojoscl.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
