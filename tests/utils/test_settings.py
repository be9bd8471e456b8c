from __future__ import annotations

from dataclasses import dataclass

import pytest

from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings, between, one_of


@dataclass(kw_only=True)
class Example(Settings):
    rate: float = between(0, 1, default=0.5)
    count: int | None = between(1, default=None)
    colour: str = one_of("red", "green", default="red")
    flag: bool = False


def test_good_values_pass() -> None:
    assert Example(rate=1, count=3, colour="green", flag=True).rate == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rate": 1.5}, "Example.rate must be between 0 and 1, not 1.5"),
        ({"rate": float("nan")}, "between 0 and 1"),
        ({"rate": "a"}, "Example.rate must be float, not 'a'"),
        ({"rate": True}, "must be float"),
        ({"count": 0}, "at least 1"),
        ({"count": 2.5}, "Example.count must be int or null, not 2.5"),
        ({"colour": "gren"}, r"did you mean 'green'\?"),
        ({"flag": 1}, "must be bool"),
    ],
)
def test_bad_values_are_named(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Example(**settings)
