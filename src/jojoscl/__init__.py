"""jojoscl: shrinkage contrastive learning for clustering single-cell RNA-seq."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jojoscl.anchored import AnchoredJojoSCL
    from jojoscl.api import cluster
    from jojoscl.config import from_preset
    from jojoscl.data import load_dataset, simulate
    from jojoscl.errors import UserError
    from jojoscl.estimator import JojoSCL
    from jojoscl.module import JojoSCLModule

__version__ = "0.1.0"
__all__ = [
    "AnchoredJojoSCL",
    "JojoSCL",
    "JojoSCLModule",
    "UserError",
    "cluster",
    "from_preset",
    "load_dataset",
    "simulate",
]

_HOMES = {
    "AnchoredJojoSCL": "anchored",
    "JojoSCL": "estimator",
    "JojoSCLModule": "module",
    "UserError": "errors",
    "cluster": "api",
    "from_preset": "config",
    "load_dataset": "data",
    "simulate": "data",
}


def __getattr__(name: str) -> Any:  # torch and scanpy take seconds to import: only when they are used
    if name in _HOMES:
        return getattr(importlib.import_module(f"jojoscl.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
