"""The examples in docstrings give what they show."""

import doctest
import importlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWING = sorted(
    ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    for folder, package in ((ROOT / "src", "jojoscl"), (ROOT, "experiments"))
    for path in (folder / package).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_examples(subtests):
    for name in SHOWING:
        with subtests.test(name=name):
            found = doctest.testmod(
                importlib.import_module(name),
                optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
            )
            assert found.failed == 0


def test_there_are_examples():
    assert len(SHOWING) >= 10
