"""Settings that check themselves: every dataset, method and preset is a dataclass built from one YAML file.

A field is annotated with its type and, where only some values make sense, declared by :func:`between` or
:func:`one_of`; a wrong type or value is a :class:`~jojoscl.utils.errors.UserError` before anything runs.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

from jojoscl.utils.errors import UserError, nearest


def between(low: float, high: float = math.inf, **kwargs: Any) -> Any:
    """A dataclass field whose number must lie in [low, high]."""
    return dataclasses.field(metadata={"range": (low, high)}, **kwargs)


def one_of(*values: Any, **kwargs: Any) -> Any:
    """A dataclass field that takes only `values`."""
    return dataclasses.field(metadata={"values": values}, **kwargs)


@dataclasses.dataclass(kw_only=True)
class Settings:
    """Base class: checks types and ranges of all fields when built."""

    outermost: typing.ClassVar[bool] = False  # settings that are given by their bare names

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _check_type(self, field.name, value, hints[field.name])
            _check_value(self, field, value)


def _check_type(owner: Settings, name: str, value: Any, hint: Any) -> None:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    classes = tuple(typing.get_origin(kind) or kind for kind in allowed if kind is not Any)
    if Any in allowed or (float in classes and isinstance(value, int) and not isinstance(value, bool)):
        return
    if not isinstance(value, classes) or (isinstance(value, bool) and bool not in classes):
        words = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in classes)
        raise UserError(f"{_label(owner, name)} must be {words}, not {value!r}.")
    if isinstance(value, list):
        for item in value:
            _check_type(owner, name, item, typing.get_args(next(kind for kind in allowed if typing.get_args(kind)))[0])


def _check_value(owner: Settings, field: dataclasses.Field[Any], value: Any) -> None:
    if "values" in field.metadata and value not in field.metadata["values"]:
        options = [str(option) for option in field.metadata["values"]]
        raise UserError(f"{_label(owner, field.name)} has no value {value!r}{nearest(str(value), options)}.")
    if "range" in field.metadata and value is not None:
        low, high = field.metadata["range"]
        if not low <= value <= high:
            bound = f"at least {low}" if math.isinf(high) else f"between {low} and {high}"
            raise UserError(f"{_label(owner, field.name)} must be {bound}, not {value!r}.")


def _label(owner: Settings, name: str) -> str:
    return name if owner.outermost else f"{type(owner).__name__}.{name}"
