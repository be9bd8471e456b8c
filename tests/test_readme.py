"""README, docs and CONTRIBUTING: links lead somewhere, tables are the committed ones, commands and code are real."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import jojoscl
from experiments.__main__ import COMMANDS
from experiments.pages import filled, pages
from jojoscl.runner.config import compose, conf_dir, parse, varied
from jojoscl.runner.predict import PredictSettings

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
]

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def running_text(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every `jojoscl ...` line, in blocks and in running text, without comment and without what is left out."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(
        r"`(jojoscl [^`]*)`",
        re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL),
    )
    lines = [re.sub(r"\s+#.*", "", line).replace(" ...", "").strip() for line in lines]
    return [line for line in dict.fromkeys(lines) if line.startswith("jojoscl ")]


def test_readme_is_for_a_newcomer() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    code = blocks(ROOT / "README.md", "python")
    assert len(code) == 1
    assert (
        len(
            [
                line
                for line in code[0].splitlines()
                if line.strip() and not line.startswith("import")
            ]
        )
        <= 6
    )
    [picture] = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert (ROOT / picture).stat().st_size < 150_000


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(
        r"\]\(([^)]+)\)",
        re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL),
    ):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads
            }, target


@each_page
def test_files_that_are_named_are_there(page: Path) -> None:
    if page.name == "CONTRIBUTING.md":
        return  # names files that a reader adds
    for name in re.findall(
        r"`((?:src|conf|experiments|benchmarks|tests|docs)/[\w/.]+\.\w+)`", page.read_text("utf-8")
    ):
        assert (ROOT / name).exists() or name == "experiments/report.html", name


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.stem)
def test_tables_are_the_committed_ones(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "python -m experiments rebuild fills them in"


def test_every_page_is_linked_from_readme_and_index() -> None:
    for start in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        text = start.read_text(encoding="utf-8")
        for page in (ROOT / "docs").glob("*.md"):
            if page.stem not in ("index", "changelog"):
                assert f"{page.name})" in text, f"{start.name} does not link {page.name}"


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in commands(page)}))
def test_commands_are_understood(line: str, tmp_path: Path) -> None:
    """Each override composes; what a sweep lists is tried one by one."""
    words = [
        word
        for word in shlex.split(line)[1:]
        if not word.startswith("--") and word not in ("-m", "job")
    ]
    overrides = [re.sub(r"=([^{\[]*?),.*", r"=\1", word) for word in words]
    if words[:1] == ["predict"]:
        own = [word for word in overrides[1:] if not word.startswith("data.")]
        PredictSettings.of(dict(word.split("=") for word in own))
        overrides = ["data=h5ad", *(word for word in overrides[1:] if word not in own)]
    if any(
        "my_study" in word or "my_set" in word or "NAME" in word or "..." in word or "…" in word
        for word in words
    ):
        return
    assert compose(overrides).method.name


@each_page
def test_python_code_names_what_there_is(page: Path) -> None:
    for code in blocks(page, "python"):
        if "..." in code:
            continue  # a signature
        for node in ast.walk(ast.parse(code)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "jojoscl"
            ):
                assert hasattr(jojoscl, node.attr), node.attr


def test_api_page_lists_what_is_exported() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"`jojoscl\.(\w+)\(", text):
        assert name in jojoscl.__all__


@each_page
def test_commands_of_experiments_and_make_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"python -m experiments (\w+)", text):
        assert name in COMMANDS
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for names in re.findall(r"^make ([a-z -]+)|`make ([a-z-]+)`", text, re.MULTILINE):
        assert set("".join(names).split()) <= targets
    for name in re.findall(r"python benchmarks/(\w+)\.py", text):
        assert (ROOT / "benchmarks" / f"{name}.py").exists()


@pytest.mark.parametrize("group", ["data", "method", "launcher", "search", "logger", "trainer"])
def test_choices_are_named(group: str) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for path in (conf_dir() / group).glob("*.yaml"):
        assert re.search(rf"`(?:{group}=)?{path.stem}`", text), (
            f"{group}={path.stem} is named on no page"
        )


def test_shown_configurations_are_right(tmp_path: Path) -> None:
    """CONTRIBUTING's study, dataset and method are files as they are here."""
    shown = [OmegaConf.create(block) for block in blocks(ROOT / "CONTRIBUTING.md", "yaml")]
    study = next(block for block in shown if "hydra" in block)
    committed = OmegaConf.load(conf_dir() / "experiment" / "ablation.yaml")
    assert set(study) == set(committed)
    params = study.hydra.sweeper.params
    assert set(params) == set(committed.hydra.sweeper.params)
    (points,) = parse([f"vary={params.vary}"])
    for point in points.sweep_string_iterator():
        assert (
            varied(compose([f"method={params.method}", f"vary={point}"])).method.name
            == params.method
        )
    method = next(block for block in shown if "about" in block)
    assert set(method.about) == set(OmegaConf.load(conf_dir() / "method" / "pca_kmeans.yaml").about)
