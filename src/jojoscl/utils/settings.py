"""Settings that explain and check themselves: methods, datasets, trainers are such dataclasses.

Each field is declared once, by :func:`setting`, with its default, its meaning and the values that
make sense. From that come the help text, the configuration that the command shows, and what is said
of a wrong value.
"""

import copy
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from jojoscl.utils.errors import UserError, nearest

T = TypeVar("T")
Field = dataclasses.Field[object]


LARGEST = sys.float_info.max
IRRELEVANT, _DECISIVE = object(), object()  # all values are neutral; none is


def setting(
    default: T,
    meaning: str,
    *,
    low: float = -LARGEST,
    high: float = LARGEST,
    values: Sequence[object] = (),
    neutral: object = _DECISIVE,
) -> T:
    """Return a dataclass field.

    Parameters
    ----------
    default, meaning
        The default, and what the setting does, in the words of the help text.
    low, high
        Where a number, or each number of a list, must lie, both ends included.
    values
        The only ones that are taken.
    neutral
        Value that leaves results unchanged. It is left out of the run's hash, so runs from before
        this setting keep their names. :data:`IRRELEVANT`: no result depends on the setting.
    """
    about = {"meaning": meaning, "low": low, "high": high, "values": values, "neutral": neutral}
    about["default"] = default
    if isinstance(default, list | dict | Settings):  # each object has its own
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=about)
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(kw_only=True)
class Settings:
    """Check types and ranges of all fields when built; list them in the class's docstring.

    A subclass that only has other defaults names them behind its base: ``class Released(Paper,
    lr=0.2)``.
    """

    outermost: typing.ClassVar[bool] = False  # settings that are given by their bare names

    def __init_subclass__(cls, **defaults: object) -> None:
        super().__init_subclass__()
        inherited = {field.name: field for field in dataclasses.fields(cls)}  # of the bases alone
        for name, default in defaults.items():
            setattr(cls, name, setting(**{**inherited[name].metadata, "default": default}))
        cls.__annotations__ = inspect.get_annotations(cls) | {
            name: inherited[name].type for name in defaults
        }
        own = {name: x for name, x in vars(cls).items() if isinstance(x, dataclasses.Field)}
        cls.__doc__ = _documented(cls, inherited | own)

    def __post_init__(self) -> None:
        hints = _hints(type(self))  # type: ignore[arg-type]  # mypy takes the class for one of its objects
        for field in dataclasses.fields(self):
            value = self._converted(field, getattr(self, field.name), hints[field.name])
            self._check(field, value)
            setattr(self, field.name, value)

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Self:
        """Build from `given` names and values; an unknown name is a :class:`UserError`."""
        cls.check_names(given)
        return cls(**given)

    @classmethod
    def check_names(cls, given: Iterable[str]) -> None:
        """Refuse a name that is no setting, and say which is near."""
        names = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in names:
                who = "There is" if cls.outermost else f"{cls.__name__} has"
                raise UserError(f"{who} no setting {name!r}{nearest(str(name), names)}.")

    @classmethod
    def defaults(cls) -> dict[str, object]:
        """Return all settings at their defaults, as plain values."""
        return cls().plain()

    def plain(self) -> dict[str, object]:
        """Return all settings as plain values, those within others too."""
        return {
            name: value.plain() if isinstance(value, Settings) else value
            for name, value in self._items()
        }

    def decisive(self) -> dict[str, object]:
        """Return the settings that are not at their neutral value, as plain values."""
        found = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata["neutral"] not in (IRRELEVANT, value):
                value = str(value) if isinstance(value, Path) else value
                found[field.name] = value.decisive() if isinstance(value, Settings) else value
        return found

    def _items(self) -> list[tuple[str, object]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]

    def _converted(self, field: Field, value: object, hint: object) -> object:
        """Return `value` as the Python type of the hint; numpy's are converted."""
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        for kind in allowed:
            of = typing.get_origin(kind) or kind
            if of is list and isinstance(value, list | tuple):
                return [self._converted(field, item, *typing.get_args(kind)) for item in value]
            if of is float and type(value) is int:
                return float(value)
            if issubclass(of, Settings) and isinstance(value, Mapping):
                of.check_names(value)  # what it names is changed in the default
                return dataclasses.replace(field.metadata["default"] or of(), **value)
            if isinstance(value, of) and isinstance(value, bool) is (of is bool):
                return value
        words = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in allowed)
        raise UserError(f"{self._label(field)} must be {words}, not {value!r}.")

    def _check(self, field: Field, value: object) -> None:
        options, low, high = (field.metadata[key] for key in ("values", "low", "high"))
        if options and value not in options:
            near = nearest(str(value), map(str, options))
            raise UserError(f"{self._label(field)} has no value {value!r}{near}.")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not low <= number <= high:
                bounds = _bounds(low, high)
                raise UserError(f"{self._label(field)} must be {bounds}, not {value!r}.")

    def _label(self, field: Field) -> str:
        return field.name if self.outermost else f"{type(self).__name__}.{field.name}"


@functools.cache
def _hints(kind: type[Settings]) -> dict[str, object]:
    """Return the types of the fields, as objects."""
    return typing.get_type_hints(kind)


def _bounds(low: float, high: float) -> str:
    if high == LARGEST:
        return "a finite number" if low == -LARGEST else f"at least {low}"
    return f"between {low} and {high}"


def _documented(cls: type[Settings], fields: dict[str, Field]) -> str:
    """Return the docstring of `cls` with a numpydoc section on its fields."""
    lines = ["", "Parameters", "----------"]
    for name, field in fields.items():
        about, default = field.metadata, field.metadata["default"]
        annotation = cls.__annotations__.get(name) or field.type
        kind = annotation.__name__ if isinstance(annotation, type) else str(annotation)
        if about["values"]:
            kind = "{" + ", ".join(map(repr, about["values"])) + "}"
        elif (bounds := _bounds(about["low"], about["high"])) != "a finite number":
            kind += f", {bounds}"
        shown = f"{type(default).__name__}(...)" if isinstance(default, Settings) else repr(default)
        lines += [f"{name} : {kind}, default {shown}", f"    {about['meaning']}"]
    text = inspect.cleandoc(vars(cls).get("__doc__") or f"{cls.__name__}.")
    before, examples, after = text.partition("\nExamples\n")
    return before.rstrip() + "\n" + "\n".join(lines) + "\n" + examples + after
