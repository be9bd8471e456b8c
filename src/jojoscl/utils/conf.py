"""Where the YAML files are."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """Return the folder `conf`: inside the installed package, or beside `src` in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.exists() else Path(__file__).parents[3] / "conf"


def choices(group: str) -> list[str]:
    """Return the names of a group's YAML files."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
