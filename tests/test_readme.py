"""README, docs and CONTRIBUTING: links lead somewhere, tables are the committed ones, commands and code are real."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import scanpy as sc
from anndata import AnnData
from omegaconf import OmegaConf
from sklearn.metrics import adjusted_rand_score

import jojoscl
from experiments.__main__ import COMMANDS
from experiments.pages import filled, pages
from experiments.studies import Study
from experiments.text import parser
from jojoscl.cells.checks import as_cells
from jojoscl.runner.config import compose, parse, varied
from jojoscl.runner.predict import PredictSettings
from jojoscl.utils.files import conf_dir

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
        assert (ROOT / name).exists(), name


def test_tables_are_the_committed_ones(subtests: pytest.Subtests) -> None:
    for page in pages():
        with subtests.test(page=page):
            text = page.read_text(encoding="utf-8")
            assert filled(text) == text, "python -m experiments rebuild fills them in"


def test_every_page_is_linked_from_readme_and_index() -> None:
    for start in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        text = start.read_text(encoding="utf-8")
        for page in (ROOT / "docs").glob("*.md"):
            if page.stem not in ("index", "changelog"):
                assert f"{page.name})" in text, f"{start.name} does not link {page.name}"


def test_commands_are_understood(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """Each override composes; what a sweep lists is tried one by one."""
    for line in sorted({line for page in PAGES for line in commands(page)}):
        with subtests.test(line=line):
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
                "my_study" in word
                or "my_set" in word
                or "NAME" in word
                or "..." in word
                or "…" in word
                for word in words
            ):
                return
            assert compose(overrides).method.name


def stand_in(name: str, **_: object) -> AnnData:
    """Return simulated cells in place of a public set, which a test does not download."""
    adata = jojoscl.simulate(240, 300, 4, seed=0)
    adata.obs_names = [f"mouse{1 + i % 2}_cell{i}" for i in range(adata.n_obs)]
    return adata


def drawn_nowhere(adata: AnnData, *_: object, **how: object) -> None:
    """Stand in for scanpy's neighbors, UMAP and pictures, which take a minute."""
    assert how.get("use_rep", "X_jojoscl") in adata.obsm
    assert set(how.get("color", ())) <= set(adata.obs)


RUN = [page for page in PAGES if blocks(page, "python") and page.name != "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", RUN, ids=lambda path: path.stem)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first block of a page to the last, but for those that say why they are not run."""
    text = re.sub(
        r"<!-- not run: .*? -->\n```python\n.*?^```$",
        "",
        page.read_text("utf-8"),
        flags=re.M | re.S,
    )
    code = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    if any("batch_key" in block for block in code):
        pytest.importorskip("harmonypy")
    monkeypatch.setattr(jojoscl, "load_dataset", stand_in, raising=False)
    for module, name in ((sc.pp, "neighbors"), (sc.tl, "umap"), (sc.pl, "umap")):
        monkeypatch.setattr(module, name, drawn_nowhere)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in code:
        exec(compile(block, str(page), "exec"), names)
    if page.stem == "new_cells":
        right = adjusted_rand_score(names["new"].obs["cell_type"], names["found"].labels)
        assert right > 0.9, "old and new cells are of the same types"
        strange = names["strange"].obs
        assert strange["confidence"].mean() > 0.7, "which the page warns of"
        assert strange["novelty"].mean() > 0.8
        assert names["new"].obs["jojoscl_novelty"].mean() < 0.5


def test_the_baseline_of_contributing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    module = types.ModuleType("jojoscl.baselines.ward")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, module.__name__, "exec"), vars(module))
    cells = jojoscl.simulate(300, 300, 3, library_size=5000, marker_fraction=0.2, seed=0)
    truth = cells.obs.pop("cell_type")
    found = module.Linkage(n_pcs=10).fit_predict(as_cells(cells), 3)
    assert adjusted_rand_score(truth, found.labels) > 0.9


def test_api_page_lists_what_is_exported() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"`jojoscl\.(\w+)\(", text):
        assert name in jojoscl.__all__


@each_page
def test_commands_of_experiments_and_make_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"python -m experiments (\w+[^`#\n(]*)", text):
        name, *words = shlex.split(line)
        assert name in COMMANDS
        module = importlib.import_module(f"experiments.{name}")
        options = getattr(module, "OPTIONS", {})
        if words or not any(key[0] != "-" and "nargs" not in how for key, how in options.items()):
            parser(name, module.__doc__, options).parse_args(words)
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for names in re.findall(r"^make ([a-z -]+)|`make ([a-z-]+)`", text, re.MULTILINE):
        assert set("".join(names).split()) <= targets
    for name in re.findall(r"python benchmarks/(\w+)\.py", text):
        assert (ROOT / "benchmarks" / f"{name}.py").exists()


def test_choices_are_named(subtests: pytest.Subtests) -> None:
    for group in ["data", "method", "launcher", "search", "logger", "trainer"]:
        with subtests.test(group=group):
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
            varied(compose([f"method={params.method}", f"vary={point}"]))[0].method.name
            == params.method
        )
    (page,) = blocks(ROOT / "CONTRIBUTING.md", "markdown")
    (tmp_path / "my_study.md").write_text(page)
    assert Study.of(tmp_path / "my_study.md").draw == "lines"
    method = next(block for block in shown if "about" in block)
    assert set(method.about) == set(OmegaConf.load(conf_dir() / "method" / "pca_kmeans.yaml").about)
