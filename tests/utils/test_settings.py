"""Settings: what is taken, what is refused in which words, what is shown, and what tells runs apart."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import numpy as np
import pytest

from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import IRRELEVANT, Settings, setting
from tests.small import assert_refused


@dataclass(kw_only=True)
class Inner(Settings):
    width: int = setting(3, "How wide.", low=1)
    deep: bool = setting(True, "Whether it is deep.")


@dataclass(kw_only=True)
class Example(Settings):
    """Something with settings.

    Examples
    --------
    >>> 1
    1
    """

    rate: float = setting(0.5, "How fast.", low=0, high=1)
    count: int | None = setting(None, "How many; None is all.", low=1)
    color: str = setting("red", "Which one.", values=("red", "green"))
    flag: bool = setting(False, "Whether it flies.")
    sizes: list[int] = setting([2, 1], "Widths.", low=1)
    inner: Inner = setting(Inner(width=7), "What is within.")
    later: float = setting(1.0, "Added later.", neutral=1.0)
    where: str = setting("here", "Where files are.", neutral=IRRELEVANT)


@dataclass(kw_only=True)
class Faster(Example, rate=0.9, inner=Inner(width=8)):
    """The same, but faster."""


def test_good_values_pass():
    made = Example(rate=1, count=3, color="green", flag=True)
    assert (made.rate, made.count) == (1.0, 3)
    assert type(made.rate) is float


def test_foreign_numbers_become_python_s_own(subtests):
    for name, given, kept in [
        ("count", np.int64(2), 2),
        ("count", np.uint8(2), 2),
        ("rate", np.float32(0.25), 0.25),
        ("rate", np.int64(1), 1.0),
        ("flag", np.bool_(True), True),
        ("color", np.str_("green"), "green"),
        ("sizes", (np.int64(4), 5), [4, 5]),
        ("sizes", np.array([4, 5]), [4, 5]),
        ("later", np.float64(2), 2.0),
    ]:
        with subtests.test(name=name):
            value = getattr(Example.of({name: given}), name)
            assert value == kept
            assert type(value) is type(kept)
            assert not isinstance(value, list) or all(type(item) is int for item in value)


def test_bad_values_are_named():
    assert_refused(
        Example.of,
        ({"rate": 1.5}, "Example.rate must be between 0 and 1, not 1.5"),
        ({"rate": float("nan")}, "between 0 and 1"),
        ({"later": float("inf")}, "Example.later must be a finite number, not inf"),
        ({"rate": "a"}, "Example.rate must be float, not 'a'"),
        ({"rate": None}, "Example.rate must be float, not None"),
        ({"rate": True}, "must be float"),
        ({"count": 0}, "at least 1"),
        ({"count": 2.5}, "Example.count must be int or null, not 2.5"),
        ({"count": np.float64(2)}, "must be int or null"),
        ({"count": np.array(2.5)}, "must be int or null"),
        ({"color": "gren"}, r"did you mean 'green'\?"),
        ({"color": None}, "Example.color must be str, not None"),
        ({"flag": 1}, "must be bool"),
        ({"sizes": [3, 0]}, r"Example.sizes must be at least 1, not \[3, 0\]"),
        ({"sizes": [1.5]}, "Example.sizes must be int, not 1.5"),
        ({"sizes": "12"}, "Example.sizes must be list"),
        ({"inner": 3}, "Example.inner must be Inner, not 3"),
        ({"inner": {"widht": 3}}, r"Inner has no setting 'widht' .did you mean 'width'"),
        ({"inner": {"width": 0}}, "Inner.width must be at least 1"),
        ({"colour": "red"}, r"Example has no setting 'colour' .did you mean 'color'"),
    )


def test_settings_within_change_only_what_is_named():
    made = Example.of({"inner": {"deep": False}})
    assert made.inner == Inner(width=7, deep=False)
    assert Example().inner == Inner(width=7)  # no object shares its default with another


def test_a_class_with_other_defaults_keeps_meaning_and_range():
    assert (Faster().rate, Faster().inner.width, Faster().color) == (0.9, 8, "red")
    assert Example().rate == 0.5
    with pytest.raises(UserError, match=r"Faster.rate must be between 0 and 1"):
        Faster(rate=2)


def test_help_shows_every_setting_with_default_range_and_meaning():
    shown = inspect.getdoc(Example)
    assert shown.startswith("Something with settings.\n\nParameters\n----------\n")
    assert "rate : float, between 0 and 1, default 0.5\n    How fast.\n" in shown
    assert "count : int | None, at least 1, default None\n" in shown
    assert "color : {'red', 'green'}, default 'red'\n" in shown
    assert "sizes : list[int], at least 1, default [2, 1]\n    Widths.\n" in shown
    assert shown.endswith("Examples\n--------\n>>> 1\n1")
    assert "rate : float, between 0 and 1, default 0.9\n    How fast.\n" in inspect.getdoc(Faster)


def test_what_decides_a_result():
    everything = {
        "rate": 0.5, "count": None, "color": "red", "flag": False, "sizes": [2, 1], "inner": {"width": 7, "deep": True},
    }  # fmt: skip
    assert Example().decisive() == everything
    assert Example(where="there").decisive() == everything
    assert Example(later=2).decisive() == everything | {"later": 2.0}
    assert Example().plain() == everything | {"later": 1.0, "where": "here"}
