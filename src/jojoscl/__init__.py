"""jojoscl: shrinkage contrastive learning for clustering single-cell RNA-seq."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jojoscl.api import cluster
    from jojoscl.data import load_dataset, simulate
    from jojoscl.methods.jojoscl.method import JojoSCL
    from jojoscl.methods.jojoscl.module import JojoSCLModule
    from jojoscl.methods.paper.method import PaperJojoSCL
    from jojoscl.methods.paper.module import PaperModule
    from jojoscl.runner.config import from_preset
    from jojoscl.utils.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "JojoSCL",
    "JojoSCLModule",
    "PaperJojoSCL",
    "PaperModule",
    "UserError",
    "cluster",
    "from_preset",
    "load_dataset",
    "simulate",
]

_HOMES = {
    "JojoSCL": "methods.jojoscl.method",
    "JojoSCLModule": "methods.jojoscl.module",
    "PaperJojoSCL": "methods.paper.method",
    "PaperModule": "methods.paper.module",
    "UserError": "utils.errors",
    "cluster": "api",
    "from_preset": "runner.config",
    "load_dataset": "data",
    "simulate": "data",
}


def __getattr__(name: str) -> Any:  # torch and scanpy take seconds to import: only when they are used
    if name in _HOMES:
        return getattr(importlib.import_module(f"jojoscl.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
