"""The house rules: which room may import which, which library stays where, and how large things may grow."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "jojoscl"
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))

LOWER = {  # what a room may import besides itself
    "utils": set[str](),
    "cells": {"utils"},
    "core": {"utils", "cells"},
    "datasets": {"utils", "cells"},
    "tools": {"utils", "cells", "core"},
    "baselines": {"utils", "cells", "core"},
    "networks": {"utils", "cells", "core"},
    "pl": {"utils", "cells", "core", "tools"},
    "api": {"utils", "cells", "core", "tools", "networks"},
    "__main__": {"runner"},
    "runner": {
        *("utils", "cells", "core", "datasets", "tools", "baselines", "networks", "pl", "api")
    },
}
LIBRARIES = {  # libraries that stay in a room
    "lightning": {"networks"},
    "hydra": {"runner"},
    "omegaconf": {"runner"},
    "matplotlib": {"runner", "pl"},
    "seaborn": set[str](),
    "wandb": {"runner"},
    "optuna": {"runner"},
    "experiments": set[str](),
    "benchmarks": set[str](),
}
UNIX = {
    "curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog",
    "termios", "tty",
}  # fmt: skip
IMPORTING = ("import_module", "__import__", "find_spec")


@cache
def tree(path: Path) -> ast.Module:
    """Return the parsed file, each node with its `parent`."""
    parsed = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(parsed):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # type: ignore[attr-defined]
    return parsed


def imported(node: ast.AST, package: list[str]) -> Iterator[str]:
    """Yield the dotted names that a statement imports, wherever it stands; `package` is what relative ones start at."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        yield from (f"{module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and called(node) in IMPORTING:
        names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
        yield from (name for name in names if isinstance(name, str))


def called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def imports(module: Path) -> set[str]:
    package = ["jojoscl", *module.parts[:-1]]
    return {name for node in ast.walk(tree(SRC / module)) for name in imported(node, package)}


def room(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def rooms_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("jojoscl.")}


def test_imports_go_one_way():
    """Also imports inside functions and below TYPE_CHECKING."""
    inside = [module for module in MODULES if room(module) != "__init__"]  # that one names all
    assert {room(module) for module in inside} == set(LOWER)
    wrong = {
        str(module): upward
        for module in inside
        if (upward := rooms_of(imports(module)) & set(LOWER) - LOWER[room(module)] - {room(module)})
    }
    assert not wrong


def test_no_circle_of_imports():
    """Imports inside functions and below TYPE_CHECKING count too."""
    names = {".".join(["jojoscl", *module.with_suffix("").parts]) for module in MODULES}
    graph = {
        ".".join(["jojoscl", *module.with_suffix("").parts]): {
            known for name in imports(module) for known in (name, name.rpartition(".")[0])
        }
        & names
        for module in MODULES
        if module.name != "__init__.py"
    }
    assert list(TopologicalSorter(graph).static_order())


def test_libraries_stay_in_their_rooms():
    wrong = []
    for module in MODULES:
        names = {name.split(".")[0] for name in imports(module)}
        here = room(module)
        wrong += [(module, n) for n, rooms in LIBRARIES.items() if n in names and here not in rooms]
        wrong += [(module, n) for n in names & UNIX if here != "runner"]  # Windows has none
    assert not wrong


def test_unix_only_modules_are_imported_where_they_are_used():
    """So that a Windows user can import every module; at the top they would fail it."""
    for module in MODULES:
        top = [n for n in tree(SRC / module).body if isinstance(n, ast.Import | ast.ImportFrom)]
        assert not {name.split(".")[0] for node in top for name in imported(node, [])} & UNIX


def test_the_checks_see_imports_wherever_they_stand(tmp_path):
    code = """
from __future__ import annotations
import jojoscl.runner.cli
from jojoscl import runner
if TYPE_CHECKING:
    from jojoscl.core.interface import Method
def f():
    from ..cells import checks
    importlib.import_module("jojoscl.networks.fit")
"""
    (tmp_path / "x.py").write_text(code)
    names = {
        name
        for node in ast.walk(tree(tmp_path / "x.py"))
        for name in imported(node, ["jojoscl", "core"])
    }
    assert rooms_of(names) == {"runner", "core", "cells", "networks"}


# ---- every module has its test -------------------------------------------------------------------


def mirror(module: Path) -> Path:
    return Path("tests") / module.parent / f"test_{module.name}"


def test_every_module_has_its_test_file_at_the_mirrored_place():
    modules = [module for module in MODULES if module.name not in ("__init__.py", "__main__.py")]
    missing = [str(mirror(module)) for module in modules if not (ROOT / mirror(module)).exists()]
    assert not missing, f"no test file: {', '.join(missing)}"


def test_every_test_checks_something():
    for path in (ROOT / "tests").rglob("test_*.py"):
        functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
        helpers = {f.name for f in functions if any(checks(node) for node in ast.walk(f))}
        for f in functions:
            calls = [node for node in ast.walk(f) if isinstance(node, ast.Call)]
            if f.name.startswith("test_"):
                assert f.name in helpers or helpers & set(map(called, calls)), (
                    f"{path}: {f.name} has no check"
                )


def checks(node: ast.AST) -> bool:
    """Whether a node asserts: `assert`, `pytest.raises`, `np.testing.assert_...`, `torch.testing...`, `check=True`."""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    return called(node).startswith(("assert", "raises", "warns", "fail", "validate", "parse"))


# ---- sizes ---------------------------------------------------------------------------------------


def test_files_and_functions_are_short():
    """Docstrings do not count, in functions: they say what a user needs."""
    for module in MODULES:
        lines = len((SRC / module).read_text(encoding="utf-8").splitlines())
        assert lines <= 300, f"{module} has {lines} lines"
        for node in ast.walk(tree(SRC / module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                n = code_lines(node)
                assert n <= 60, f"{module}: {node.name} has {n} lines"


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring aside."""
    first = function.body[0]
    docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0
    return function.end_lineno - function.lineno + 1 - docstring


def test_the_whole_is_small():
    """Lines of code, without blank ones and docstrings: the bound may only fall, toward 4,700."""
    total = sum(code_of(SRC / module) for module in MODULES)
    assert total <= 6042, f"src has {total} lines of code"


def code_of(path: Path) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    words = set[int]()
    for node in ast.walk(tree(path)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        text = getattr(getattr(first, "value", None), "value", None)
        if isinstance(first, ast.Expr) and isinstance(text, str):
            words |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    return sum(bool(line.strip()) and i not in words for i, line in enumerate(lines, 1))


def test_any_is_rare():
    found = {str(module): count for module in MODULES if (count := len(list(anys(SRC / module))))}
    assert sum(found.values()) <= 20, f"{sum(found.values())} annotations with Any: {found}"


def anys(path: Path) -> Iterator[ast.AST]:
    """Yield the annotations of arguments, results and variables that hold `Any`."""
    for node in ast.walk(tree(path)):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(annotation, ast.AST) and any(
                getattr(part, "id", getattr(part, "attr", None)) == "Any"
                for part in ast.walk(annotation)
            ):
                yield annotation


def test_one_spelling_of_neighbor():
    for folder in ("src", "conf", "docs", "experiments", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".yaml", ".toml", ".j2"} and path != Path(__file__):
                words = path.read_text(encoding="utf-8").lower()
                assert "neighbour" not in words, path


# ---- dependencies --------------------------------------------------------------------------------

PACKAGES = {"hydra": "hydra-core", "sklearn": "scikit-learn", "skmisc": "scikit-misc",
            "PIL": "pillow", "yaml": "pyyaml", "scvi": "scvi-tools"}  # fmt: skip
OPTIONAL = Path("runner/search.py")  # needs the extra `sweep`; only a search loads it
# Scanpy asks for the one, and breaks with the newest of the other.
UNSEEN = {"scikit-misc", "pynndescent"}


def declared() -> tuple[set[str], set[str]]:
    """Return the names of what is always installed, and of the extras."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(lines: list[str]) -> set[str]:
        first = (re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0] for line in lines)
        return {name.lower().replace("_", "-") for name in first}

    extras = {name for lines in project["optional-dependencies"].values() for name in names(lines)}
    return names(project["dependencies"]), extras - {"jojoscl"}


def third_party(node: ast.AST) -> set[str]:
    names = {name.split(".")[0] for name in imported(node, ["jojoscl"])}
    return {
        PACKAGES.get(name, name)
        for name in names - sys.stdlib_module_names - {"jojoscl", "experiments"}
    }


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    always, extras = declared()
    everywhere = {
        name
        for module in MODULES
        for node in ast.walk(tree(SRC / module))
        for name in third_party(node)
    }
    at_top = {
        name
        for module in MODULES
        if module != OPTIONAL and room(module) != "networks"
        for node in ast.walk(tree(SRC / module))
        if isinstance(node, ast.Import | ast.ImportFrom) and not inside_function(node)
        for name in third_party(node)
    }
    normal = {name.lower().replace("_", "-") for name in everywhere}
    assert normal <= always | extras, f"not declared: {normal - always - extras}"
    assert {name.lower().replace("_", "-") for name in at_top} <= always, (
        "imported at the top, but only an extra"
    )
    unused = always - normal - UNSEEN
    assert not unused, f"declared and never imported: {unused}"


def inside_function(node: ast.AST) -> bool:
    while (parent := getattr(node, "parent", None)) is not None:
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(parent, ast.If) and "TYPE_CHECKING" in ast.unparse(parent.test)
        ):
            return True
        node = parent
    return False


def test_the_version_has_one_source():
    import importlib.metadata

    import jojoscl

    version = importlib.metadata.version("jojoscl")
    assert jojoscl.__version__ == version
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", cited, re.M)[1] == version
    assert not re.search(r"\d+\.\d+\.\d+", (SRC / "__init__.py").read_text(encoding="utf-8"))
