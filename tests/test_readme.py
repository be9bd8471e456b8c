"""README, docs and CONTRIBUTING: links lead somewhere, tables are the committed ones, commands and code are real."""

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
from jojoscl.utils.files import choices, conf_dir

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def running_text(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every `jojoscl ...` line, in blocks and in running text, without comment and without what is left out."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(r"`(jojoscl [^`]*)`", running_text(page))
    lines = [re.sub(r"\s+#.*", "", line).replace(" ...", "").strip() for line in lines]
    return [line for line in dict.fromkeys(lines) if line.startswith("jojoscl ")]


def test_readme_is_for_a_newcomer():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    (code,) = blocks(ROOT / "README.md", "python")
    own = [line for line in code.splitlines() if line.strip() and not line.startswith("import")]
    assert len(own) <= 6
    [picture] = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert (ROOT / picture).stat().st_size < 150_000


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_links_lead_somewhere():
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", running_text(page)):
            path, _, anchor = target.partition("#")
            found = page.parent / path if path else page
            if not target.startswith("http") and (
                not found.exists() or (anchor and anchor not in anchors(found))
            ):
                wrong.append((page.name, target))
    assert not wrong


def test_files_that_are_named_are_there():
    """But for those of CONTRIBUTING.md, which a reader adds."""
    file = r"`((?:src|conf|experiments|benchmarks|tests|docs)/[\w/.]+\.\w+)`"
    pages = [page for page in PAGES if page.name != "CONTRIBUTING.md"]
    named = {
        (page.name, name) for page in pages for name in re.findall(file, page.read_text("utf-8"))
    }
    assert not [(page, name) for page, name in named if not (ROOT / name).exists()]


def test_tables_are_the_committed_ones(subtests):
    for page in pages():
        with subtests.test(page=page.name):
            text = page.read_text(encoding="utf-8")
            assert filled(text) == text, "python -m experiments rebuild fills them in"


def test_every_page_is_linked_from_readme_and_index():
    names = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md", "changelog.md"}
    for start in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        text = start.read_text(encoding="utf-8")
        assert not [name for name in names if f"{name})" not in text], start.name


def test_commands_are_understood(subtests):
    """Each override composes; what a sweep lists is tried one by one."""
    for line in sorted({line for page in PAGES for line in commands(page)}):
        words = [word for word in shlex.split(line)[1:] if word not in ("-m", "job")]
        words = [word for word in words if not word.startswith("--")]
        overrides = [re.sub(r"=([^{\[]*?),.*", r"=\1", word) for word in words]
        with subtests.test(line=line):
            if words[:1] == ["predict"]:
                own = [word for word in overrides[1:] if not word.startswith("data.")]
                PredictSettings.of(dict(word.split("=") for word in own))
                overrides = ["data=h5ad", *(word for word in overrides[1:] if word not in own)]
            elif "data=h5ad" in words:
                keys = {word.partition("=")[0] for word in words}
                assert keys & {"n_clusters", "data.label_key"}, "the number is not known"
            if not re.search(r"my_study|my_set|NAME|\.\.\.|…", " ".join(words)):
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
def test_python_blocks_run(page, tmp_path, monkeypatch):
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


def test_the_baseline_of_contributing_runs(monkeypatch):
    (code,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    module = types.ModuleType("jojoscl.baselines.ward")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, module.__name__, "exec"), vars(module))
    cells = jojoscl.simulate(300, 300, 3, library_size=5000, marker_fraction=0.2, seed=0)
    truth = cells.obs.pop("cell_type")
    found = module.Linkage(n_pcs=10).fit_predict(as_cells(cells), 3)
    assert adjusted_rand_score(truth, found.labels) > 0.9


def test_api_page_lists_what_is_exported():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"`jojoscl\.(\w+)\(", text):
        assert name in jojoscl.__all__


def test_commands_of_experiments_and_make_are_there(subtests):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in re.findall(r"python -m experiments (\w+[^`#\n(]*)", text):
            with subtests.test(page=page.name, line=line):
                name, *words = shlex.split(line)
                assert name in COMMANDS
                module = importlib.import_module(f"experiments.{name}")
                options = getattr(module, "OPTIONS", {})
                asked = [
                    key for key, how in options.items() if key[0] != "-" and "nargs" not in how
                ]
                if words or not asked:
                    parser(name, module.__doc__, options).parse_args(words)
        for names in re.findall(r"^make ([a-z -]+)|`make ([a-z-]+)`", text, re.MULTILINE):
            assert set("".join(names).split()) <= targets, page.name
        for name in re.findall(r"python benchmarks/(\w+)\.py", text):
            assert (ROOT / "benchmarks" / f"{name}.py").exists(), page.name


def test_choices_are_named():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    groups = ("data", "method", "launcher", "search", "logger", "trainer")
    named = [(group, name) for group in groups for name in choices(group)]
    assert not [(group, n) for group, n in named if not re.search(rf"`(?:{group}=)?{n}`", text)]


def test_shown_configurations_are_right(tmp_path):
    """CONTRIBUTING's study, dataset and method are files as they are here."""
    shown = [OmegaConf.create(block) for block in blocks(ROOT / "CONTRIBUTING.md", "yaml")]
    study = next(block for block in shown if "hydra" in block)
    committed = OmegaConf.load(conf_dir() / "experiment" / "ablation.yaml")
    assert set(study) == set(committed)
    params = study.hydra.sweeper.params
    assert set(params) == set(committed.hydra.sweeper.params)
    (points,) = parse([f"vary={params.vary}"])
    for point in points.sweep_string_iterator():
        changed, *_ = varied(compose([f"method={params.method}", f"vary={point}"]))
        assert changed.method.name == params.method
    (page,) = blocks(ROOT / "CONTRIBUTING.md", "markdown")
    (tmp_path / "my_study.md").write_text(page)
    assert Study.of(tmp_path / "my_study.md").draw == "lines"
    method = next(block for block in shown if "about" in block)
    assert set(method.about) == set(OmegaConf.load(conf_dir() / "method" / "pca_kmeans.yaml").about)
