"""jojoscl: shrinkage contrastive learning for clustering single-cell RNA-seq."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jojoscl import pl as pl
    from jojoscl.api import cluster as cluster
    from jojoscl.api import predict as predict
    from jojoscl.core.fitted import load as load
    from jojoscl.core.method import JojoSCL as JojoSCL
    from jojoscl.datasets.load import load_dataset as load_dataset
    from jojoscl.datasets.simulate import simulate as simulate
    from jojoscl.networks.paper import PaperJojoSCL as PaperJojoSCL
    from jojoscl.networks.paper import ReleasedJojoSCL as ReleasedJojoSCL
    from jojoscl.tools.compare import compare as compare
    from jojoscl.tools.markers import markers as markers
    from jojoscl.tools.names import name_clusters as name_clusters
    from jojoscl.tools.splits import split_tests as split_tests
    from jojoscl.tools.tree import cut as cut
    from jojoscl.utils.errors import UserError as UserError

    __version__: str

_HOMES = {
    "JojoSCL": "core.method",
    "PaperJojoSCL": "networks.paper",
    "ReleasedJojoSCL": "networks.paper",
    "UserError": "utils.errors",
    "cluster": "api",
    "compare": "tools.compare",
    "cut": "tools.tree",
    "load": "core.fitted",
    "load_dataset": "datasets.load",
    "markers": "tools.markers",
    "name_clusters": "tools.names",
    "predict": "api",
    "simulate": "datasets.simulate",
    "split_tests": "tools.splits",
}
__all__ = sorted([*_HOMES, "__version__", "pl"])


# torch and scanpy take seconds to import: only when they are used
def __getattr__(name: str) -> object:
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
