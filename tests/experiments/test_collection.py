"""A user's own benchmark: a folder of sets by several methods, and the statistics of it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest
from scipy import stats

from experiments import collection
from experiments.__main__ import main
from jojoscl.datasets.simulate import simulate
from jojoscl.runner.cli import quoted
from jojoscl.utils.errors import UserError

if TYPE_CHECKING:  # several folders have a conftest
    from conftest import InProcess

FAST = ("-m", "experiment=collection", "method=pca_kmeans,random", "seed=0")
SCORES = {  # of seeds 0 and 1
    "w": {"jojoscl": (0.8, 0.9), "sccl": (0.70, 0.80), "leiden": (0.9, 0.9)},
    "x": {"jojoscl": (0.6, 0.6), "sccl": (0.59, 0.57), "leiden": (0.5, 0.5)},
    "y": {"jojoscl": (0.4, 0.5), "sccl": (0.50, 0.60), "leiden": (0.2, 0.2)},
    "z": {"jojoscl": (0.3, 0.3), "sccl": (0.10, 0.10)},
}


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    folder = tmp_path / "my sets"
    folder.mkdir()
    for seed, name in enumerate(("easy.v2", "hard, or so")):
        simulate(n_cells=60, n_genes=50, n_types=3, seed=seed).write_h5ad(folder / f"{name}.h5ad")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that a sweep would leave."""
    folder = tmp_path_factory.mktemp("runs") / "collection"
    for dataset, methods in SCORES.items():
        for method, scores in methods.items():
            for seed, ari in enumerate(scores):
                run = folder / dataset / method / f"seed{seed}"
                run.mkdir(parents=True)
                metrics = {"experiment": "collection", "dataset": dataset, "variant": "default", "method": method,
                           "seed": seed, "selection": "last", "ari": ari, "nmi": ari, "acc": ari, "f1": ari,
                           "seconds": {"total": 1.0}, "git_commit": "abc", "versions": {"numpy": "2.0"}}  # fmt: skip
                (run / "metrics.json").write_text(json.dumps(metrics))
    failed = folder / "z" / "leiden" / "seed0"
    failed.mkdir(parents=True)
    (failed / "failed.txt").write_text("There is not enough memory.\n")
    return folder


def command(folder: Path, *arguments: str) -> str:
    main(["collection", *arguments, "--results", str(folder), "--figures", str(folder)])
    return (folder / "collection.md").read_text()


class Page(NamedTuple):
    """What the command leaves, and what it says."""

    folder: Path
    text: str
    said: str


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of these runs, made once."""
    folder, said = tmp_path_factory.mktemp("page"), io.StringIO()
    with contextlib.redirect_stdout(said):
        text = command(folder, str(runs))
    return Page(folder, text, said.getvalue())


def test_a_folder_is_run_named_compared_and_resumed(
    in_process: InProcess, tmp_path: Path, sets: Path
) -> None:
    (sets / "broken.h5ad").write_text("no h5ad")
    done = in_process(*FAST, f"data.path={sets}/*.h5ad")
    assert (done.code, done.err) == (1, "")
    for method in ("pca_kmeans", "random"):
        assert f"Failed: runs/collection/broken/{method}-last/seed0-" in done.out
    assert "ARI of pca_kmeans minus that of each method" in done.out
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    assert {path.parents[1].parent.name for path in finished} == {"easy.v2", "hard, or so"}
    assert {json.loads(path.read_text())["dataset"] for path in finished} == {
        "easy.v2",
        "hard, or so",
    }
    assert len(finished) == 4

    (sets / "broken.h5ad").unlink()
    done = in_process(*FAST, f"data.path={sets}/*.h5ad")
    assert (done.code, done.err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished

    text = command(tmp_path, "runs/collection")
    assert "## ARI of pca_kmeans against each method" in text
    assert "| random | 2 |" in text


def test_a_file_that_is_not_there_is_a_failed_run(in_process: InProcess) -> None:
    done = in_process(*FAST, "data.path=nowhere.h5ad")
    assert done.code == 1
    assert "nowhere.h5ad does not exist" in done.out


def test_the_kind_of_some_files_is_told_in_a_second_command(
    in_process: InProcess, sets: Path
) -> None:
    own = (*FAST, "method=random", f"data.path={sets}/e*.h5ad", "data.kind=rpkm")
    assert in_process(*own).code == 0
    (metrics,) = Path("runs").rglob("metrics.json")
    assert json.loads(metrics.read_text())["kind"] == "rpkm"


def test_no_file_says_how(in_process: InProcess) -> None:
    done = in_process("experiment=collection")
    assert done.code == 2
    assert "No file is given: name yours by data.path=" in done.err


def test_files_that_are_no_sets_are_not_run(sets: Path) -> None:
    (sets / ".hidden.h5ad").write_text("")
    (sets / "notes.txt").write_text("")
    argument = quoted(f"data.path={sets}/*.h5ad", several=True)
    assert argument == f"data.path='{sets}/easy.v2.h5ad','{sets}/hard, or so.h5ad'"


def test_statistics_by_hand(page: Page) -> None:
    """Differences of the means: to sccl .1, .02, -.1, .2; to leiden, on three sets, -.05, .1, .25."""
    p = stats.wilcoxon([0.1, 0.02, -0.1, 0.2]).pvalue
    assert f"| sccl | 4 | +.055 | 2 / 1 / 1 | 3 / 0 / 1 | {p:.3f}".replace("0.", ".") in page.text
    assert "| leiden | 3 | +.100 | 2 / 0 / 1 | 2 / 0 / 1 | .500 |" in page.text
    assert "of the 3 sets that all 3 have" in page.text
    assert "Left out: z (no result of leiden)." in page.text


def test_means_of_each_set_with_the_best_marked(page: Page) -> None:
    assert "| Set | jojoscl | sccl | leiden |" in page.text
    assert "| w | <u>.850 ± .071</u> | .750 ± .071 | **.900 ± .000** |" in page.text
    assert "| z | **.300 ± .000** | <u>.100 ± .000</u> | – |" in page.text
    assert "| abc |" in page.text
    assert "| numpy 2.0 | 22 |" in page.text
    assert (page.folder / "collection.png").read_bytes().startswith(b"\x89PNG")


def test_failures_are_named_and_the_csv_makes_the_same_page(page: Page, tmp_path: Path) -> None:
    assert "Failed: z/leiden/seed0: There is not enough memory." in page.said
    assert "## Failed runs\n\n| Method | Set | Failed runs | Why |" in page.text
    assert "| leiden | z | 1 | There is not enough memory. |" in page.text
    for path in page.folder.glob("*.csv"):
        shutil.copy(path, tmp_path)
    assert command(tmp_path, str(tmp_path / "collection.csv")) == page.text
    assert len(pd.read_csv(tmp_path / "collection.csv")) == 22


def test_at_a_glance_by_hand(page: Page) -> None:
    """Means of four sets, of leiden three; of two tests Holm doubles the smaller p."""
    rows = page.text.partition("## At a glance\n\n")[2].splitlines()[2:5]
    assert rows[0] == "| `jojoscl` | given | 4 | .550 | .550 | .550 |  |  |  |"
    assert rows[1].startswith("| `leiden` | finds | 3 | .533 | .533 | .533 | +.100 | 2 / 0 / 1 | ")
    assert rows[2].startswith("| `sccl` | given | 4 | .495 | .495 | .495 | +.055 | 2 / 1 / 1 | ")
    smaller = min(
        stats.wilcoxon(differences).pvalue
        for differences in ([0.1, 0.02, -0.1, 0.2], [-0.05, 0.1, 0.25])
    )
    assert f"| {min(1, 2 * smaller):.3f} |".replace("| 0", "| ") in "\n".join(rows)


def test_another_reference(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "| jojoscl | 4 | −.055 | 1 / 1 / 2 | 1 / 0 / 3 |" in command(
        tmp_path, str(runs), "--reference", "sccl"
    )
    with pytest.raises(SystemExit) as stop:
        command(tmp_path, str(runs), "--reference", "seurat")
    assert stop.value.code == 2
    assert "No run of seurat was scored" in capsys.readouterr().err


def test_no_runs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no finished run"):
        collection.gather(tmp_path)


def test_both_halves_and_seeds_with_two_answers_are_shown() -> None:
    means = pd.DataFrame({"jojoscl": [0.5, 0.9], "seurat": [0.7, 0.3]}, ["bladder", "pbmc_10x"])
    table = collection.by_half({"ari": means, "f1": means}).table
    assert table.iloc[0].tolist() == ["`jojoscl`", "given", ".900", ".500", ".900", ".500"]
    assert table["Method"].tolist() == ["`jojoscl`", "`seurat`"]  # the best on half B first
    runs = pd.DataFrame({"dataset": "x", "method": ["sccl"] * 3 + ["seurat"] * 3})
    runs["ari"] = [0.5, 0.5, 0.9, 0.5, 0.51, 0.52]
    (row,) = collection.of_two_minds(runs).table.to_numpy().tolist()
    assert row == ["x", "`sccl`", ".633", ".500", ".500", ".900", "3"]
