"""The page of a run: one file, nothing from outside, what the run found."""

import re
from pathlib import Path

import pytest

from jojoscl.runner.config import Resolved, compose
from jojoscl.runner.run import run

SIZE = ["data.n_cells=120", "data.n_genes=150", "data.n_types=3"]
SMALL = ["data=simulated", *SIZE, "page=true", "pictures=false"]


def page(folder: Path, *overrides: str) -> str:
    run(Resolved.of(compose([*SMALL, *overrides])), folder / "run")
    return (folder / "run" / "page.html").read_text(encoding="utf-8")


def test_the_page_has_all_of_it_and_loads_nothing(tmp_path):
    text = page(tmp_path, "method.n_draws=1")
    heads = re.findall(r"<h2>(.*?)</h2>", text)
    assert heads == [
        "Clusters", "UMAP of the embedding", "Confidence of the cells", "What SURE leaves of each component",
        "Tree of the clusters", "Are the splits real?", "Markers", "Seconds", "Settings", "How to cite",
    ]  # fmt: skip
    sources = re.findall(r'(?:src|href)="?([^">]*)', text)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"<script|<link|@import|url\(", text)
    assert "120 cells, 150 genes, values: counts" in text
    assert re.search(
        r"<td>0</td>\s*<td>\d+</td>\s*(<td>[01](\.\d+)?</td>\s*){3}<td>type\d</td>\s*<td>[01](\.\d+)?</td>",
        text,
    )
    assert "the split is arbitrary: other draws divide these cells in another way" in text
    assert "gene" in text.partition("<h2>Markers</h2>")[2]
    assert "n_draws: 1" in text
    assert "10.1109/BIBM62325.2024.10821870" in text


def test_the_page_says_why_splits_are_not_tested(tmp_path):
    text = page(tmp_path, "corrupt.gaussian=0.1", "method=pca_kmeans")
    assert "Not tested. Only counts can be split into halves, and these are log1p" in text
    assert "Confidence of the cells" not in text
    assert "Tree of the clusters" not in text
    assert "stability" not in text
    text = page(tmp_path / "tree", "corrupt.gaussian=0.1", "method.n_draws=1")
    assert "Not tested." in text
    assert '<img alt="Tree of the clusters"' in text


def test_names_are_escaped_and_no_page_without_the_setting(tmp_path):
    text = page(tmp_path, "data.name='simulated<b>'", "method=pca_kmeans")
    assert "simulated&lt;b&gt;" in text
    assert "<b>" not in text
    run(Resolved.of(compose([*SMALL, "page=false", "method=pca_kmeans"])), tmp_path / "other")
    assert not (tmp_path / "other" / "page.html").exists()


def test_a_ceiling_is_handed_labels_that_halves_have_not(tmp_path):
    assert "Not tested. method must be a method" in page(tmp_path, "method=truth")


@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1")], ids=["run", "sweep"])
def test_the_command_names_one_page(in_process, sweep, tmp_path):
    done = in_process(*sweep, *SMALL, "method=pca_kmeans")
    assert done.code == 0, done.err
    (page,) = (tmp_path / line.split()[-1] for line in done.out.splitlines() if ".html" in line)
    text = page.read_text(encoding="utf-8")
    if sweep:
        runs = [page.parent / name for name in re.findall('href="([^"]*)', text)]
        assert [run.name for run in runs] == 2 * ["page.html"]
        assert all(run.exists() for run in runs)
        assert "<td>pca_kmeans</td>" in text
