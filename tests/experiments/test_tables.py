"""Table I and the comparison over datasets, against values worked out by hand."""

from __future__ import annotations

import re
from math import exp
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments import tables
from experiments.__main__ import main
from experiments.compare import Comparison, compare, complete, holm
from jojoscl.utils.errors import UserError

HEADER = (
    "experiment,dataset,variant,method,seed,selection,n_clusters,"
    "ari,nmi,acc,f1,seconds,peak_memory_mb,python,git_commit"
)
SCORES = {
    ("bladder", "jojoscl", "last"): (0.5, 0.6),
    ("bladder", "jojoscl_released", "last"): (0.1, 0.3),
    ("bladder", "jojoscl_released", "oracle"): (0.99, 0.99),
    ("bladder", "pca_kmeans", "last"): (0.65,),
    ("yan", "jojoscl", "last"): (0.8, 0.9),
    ("yan", "jojoscl_released", "last"): (0.2, 0.4),
    ("yan", "jojoscl_released", "oracle"): (0.95, 0.97),
    ("yan", "pca_kmeans", "last"): (0.6, 0.8),
    ("yan", "seurat", "last"): (0.7, 0.7),
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_text("\n".join([HEADER, *rows()]))
    return path


def rows() -> list[str]:
    return [
        f"small,{dataset},v,{method},{seed},{selection},8,{score},{score},{score},{score},1,1,3.11,abc"
        for (dataset, method, selection), scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]


@pytest.fixture
def written(table: Path) -> Path:
    tables.make(table.parent, table.parent, table)
    return table


def section(page: str, title: str) -> str:
    return page.split(f"## {title}\n\n")[1].split("\n\n")[0]


def test_costs_by_hand(table: Path) -> None:
    """Of runs on the wall clock only; a run by the labels' choice of epoch is its `last` row's run."""
    table.write_text(
        "\n".join(
            [
                HEADER,
                "small,yan,v,seurat,0,last,8,1,1,1,1,2.0,500,3.11,abc",
                "small,yan,v,seurat,1,last,8,1,1,1,1,3.1,700,3.11,abc",
                "small,yan,v,seurat,2,last,8,1,1,1,1,,9000,3.11,abc",
                "small,yan,v,sccl,0,oracle,8,1,1,1,1,9,900,3.11,abc",
                "small,yan,v,sccl,0,last,8,1,1,1,1,9,900,3.11,abc",
                "small,bladder,v,seurat,0,last,8,1,1,1,1,4,400,3.11,abc",
            ]
        )
    )
    main(["tables", str(table), "--figures", str(table.parent)])
    page = table.with_suffix(".md").read_text()
    head = "| Method | bladder | yan |\n|---|---|---|\n"
    assert section(page, "Seconds") == (
        head
        + "| seurat | 4.0<sup>n=1</sup> | 2.5<sup>n=2</sup> |\n| sccl | – | 9.0<sup>n=1</sup> |"
    )
    assert section(page, "Peak memory in MB") == (
        head
        + "| seurat | 400.0<sup>n=1</sup> | 600.0<sup>n=2</sup> |\n| sccl | – | 900.0<sup>n=1</sup> |"
    )


def test_scores(written: Path) -> None:
    assert section(written.with_suffix(".md").read_text(), "ARI") == (
        "| Method | Selected by | K | bladder | yan | Average |\n"
        "|---|---|---|---|---|---|\n"
        "| jojoscl | no epochs | given | <u>.550 ± .071</u> | **.850 ± .071** | **.700** |\n"
        "| jojoscl_released | last epoch | given | .200 ± .141 | .300 ± .141 | .250 |\n"
        "| jojoscl_released † | true labels (oracle) † | given | .990 ± .000 | .960 ± .014 | .975 |\n"
        "| seurat | no epochs | finds | – | <u>.700 ± .000</u> | .700 (1 of 2 sets) |\n"
        "| pca_kmeans | no epochs | given | **.650**<sup>n=1</sup> | <u>.700 ± .141</u> | <u>.675</u> |"
    )


def test_at_a_glance(written: Path) -> None:
    lines = section(written.with_suffix(".md").read_text(), "At a glance")
    assert (
        "| bladder | .608 / .751 | .200 / .200 | .550 / .550 | **.650 / .650** | pca_kmeans |"
        in lines
    )
    assert "| yan | .866 / .879 | .300 / .300 | **.850 / .850** | .700 / .700 | seurat |" in lines


def test_the_best_other_method_is_one_of_the_code(table: Path) -> None:
    with table.open("a") as file:
        file.write("\nsmall,yan,v,jojoscl_anchored,0,last,8,.99,.99,.99,.99,1,1,3.11,abc\n")
    tables.make(table.parent, table.parent, table)
    page = table.with_suffix(".md").read_text()
    assert "| .700 / .700 | seurat |" in section(page, "At a glance")
    assert "| jojoscl_anchored |" in section(page, "ARI")


def test_beside_the_paper(written: Path) -> None:
    page = written.with_suffix(".md").read_text()
    assert section(page, "ARI beside the paper").splitlines()[2:] == [
        "| jojoscl | no epochs | .550 (.608, −.058) | .850 (.866, −.016) | .700 (.737, −.037) |",
        "| jojoscl_released | last epoch | .200 (.608, −.408) | .300 (.866, −.566) | .250 (.737, −.487) |",
        "| jojoscl_released † | true labels (oracle) † | "
        ".990 (.608, +.382) | .960 (.866, +.094) | .975 (.737, +.238) |",
        "| seurat | no epochs | – | .700 (.710, −.010) | .700 (.710, −.010) (1 of 2 sets) |",
    ]
    assert "ACC beside" not in page
    assert (
        section(page, "NMI beside the paper")
        .splitlines()[2]
        .startswith("| jojoscl | no epochs | .550 (.751")
    )


def test_oracle_rows_are_marked_and_never_compete(written: Path) -> None:
    page = written.with_suffix(".md").read_text()
    lines = [line for line in page.splitlines() if "true labels (oracle)" in line]
    assert len(lines) == 6
    for line in lines:
        assert line.count("†") == 2
        assert not re.search(r"\*\*|<u>", line)


def test_summary_is_tidy(written: Path) -> None:
    summary = pd.read_csv(written.with_name("small_summary.csv"), keep_default_na=False)
    assert list(summary)[:5] == ["dataset", "variant", "method", "selection", "metric"]
    assert len(summary) == len(tables.METRICS) * len(SCORES)
    row = summary.query("dataset == 'yan' and method == 'jojoscl' and metric == 'ari'").iloc[0]
    assert [float(row[name]) for name in ("mean", "sd", "n", "published", "difference")] == [
        0.85, 0.0707, 2, 0.8662, -0.0162,
    ]  # fmt: skip


def test_order_is_the_studys() -> None:
    names = ["jojoscl", "jojoscl_released", "seurat", "sccl", "leiden", "unheard_of", "random"]
    assert tables.in_order(sorted(names), "method") == names
    sets = ["pbmc_10x", "bladder all_genes", "bladder top2000", "yan", "my_cells"]
    assert tables.in_order(sorted(sets), "data") == sets


def test_number() -> None:
    assert [tables.number(value) for value in (0.66812, 1, -0.0001, -0.0213)] == [
        ".668",
        "1.000",
        ".000",
        "−.021",
    ]
    assert [tables.number(value, signed=True) for value in (0.1, -0.14, 0.0004)] == [
        "+.100",
        "−.140",
        ".000",
    ]


def test_variants_are_sets_of_their_own(table: Path) -> None:
    text = table.read_text()
    table.write_text(f"{text}\n{rows()[0].replace(',v,', ',w,')}")
    assert set(tables.summarise(tables.scored(table))["set"]) == {"bladder v", "bladder w", "yan"}


def test_too_few_sets_are_not_compared(written: Path) -> None:
    page = written.with_suffix(".md").read_text()
    assert "No comparison: it takes jojoscl, 3 methods and 3 sets." in page
    assert not written.with_name(tables.FIGURE).exists()


def test_files_are_written_whole(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "no"))
    )
    with pytest.raises(UserError):
        tables.make(table.parent, table.parent, table)
    assert [path.name for path in table.parent.iterdir()] == ["small.csv"]
    monkeypatch.undo()
    tables.make(table.parent, table.parent, table)
    names = {"small.csv", "small.md", "small_summary.csv"}
    assert {path.name for path in table.parent.iterdir()} == names


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read as a table"),
        ("a,b\n1,2\n", "has no column 'dataset'"),
        (HEADER + "\n", "holds no run"),
        (HEADER + "\n" + rows()[0].replace("0.5", "high"), "has no scored run"),
        ("\n".join([HEADER, rows()[0], rows()[0]]), "jojoscl on bladder, seed 0, twice"),
        (None, "There is no table"),
    ],
)
def test_wrong_tables_are_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    words: str,
) -> None:
    path = tmp_path / "wrong.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit) as stop:
        main(["tables", str(path), "--figures", str(tmp_path)])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not [other for other in tmp_path.iterdir() if other != path]


def test_friedman_and_ranks_by_hand() -> None:
    """Three methods in the same order on four sets: 12 / (4 * 3 * 4) * (4^2 + 8^2 + 12^2) - 3 * 4 * 4 = 8."""
    means = pd.DataFrame(
        {"b": [0.5, 0.6, 0.7, 0.3], "jojoscl": [0.9, 0.8, 0.75, 0.4], "c": [0.1, 0.2, 0.3, 0]}
    )
    result = compare(means)
    assert result.table["rank"].to_dict() == {"jojoscl": 1, "b": 2, "c": 3}
    assert result.friedman == pytest.approx(
        (8, exp(-4))
    )  # p = exp(-8 / 2) at two degrees of freedom
    assert result.table.loc["b", ["ahead", "behind", "p", "p_holm"]].tolist() == [4, 0, 0.125, 0.25]
    assert result.table.at["b", "difference"] == pytest.approx(0.1875)
    assert "With 4 sets the smallest possible p is 0.12, and 0.25 after Holm" in result.note("ARI")
    assert result.diagram("ARI").axes


def test_chance_is_not_ranked() -> None:
    means = pd.DataFrame(np.random.default_rng(0).random((6, 3)), columns=["jojoscl", "a", "b"])
    alone, beside = compare(means), compare(means.assign(random=0.0))
    pd.testing.assert_frame_equal(beside.table, alone.table)
    assert beside.friedman == alone.friedman
    assert "Left out: random (chance, no method)." in beside.note("ARI")
    corrected = holm(pd.Series({"random": 0.001, "a": 0.02, "b": 0.03}))  # two tests, not three
    assert corrected[["a", "b"]].tolist() == [0.04, 0.04]
    assert np.isnan(corrected["random"])


def test_bars_of_the_diagram_are_drawn_in_one_order() -> None:
    means = pd.DataFrame(np.random.default_rng(0).random((4, 6)), columns=["jojoscl", *"abcde"])
    lines = [list(line.get_xdata()) for line in compare(means).diagram("ARI").axes[0].get_lines()]
    (bar,) = [xs for xs in lines if len(xs) == 6]  # none is told apart
    assert bar == sorted(bar), "the library's order is that of a set"


def test_wilcoxon_is_scipys_with_holms_correction() -> None:
    means = pd.DataFrame({
        "jojoscl": [0.61, 0.72, 0.83, 0.54, 0.95, 0.76],
        "a": [0.60, 0.70, 0.80, 0.50, 0.90, 0.70],
        "b": [0.70, 0.60, 0.85, 0.47, 0.90, 0.69],
        "c": [0.61, 0.72, 0.83, 0.54, 0.95, 0.76],
    })  # fmt: skip
    table = compare(means).table
    p = {name: stats.wilcoxon(means["jojoscl"], means[name]).pvalue for name in "ab"}
    assert table.loc[["a", "b"], "p"].to_dict() == pytest.approx(p)
    assert table.loc[["a", "b", "c"], "p_holm"].tolist() == pytest.approx(
        [3 * p["a"], min(1, 2 * p["b"]), 1]
    )
    assert table.at["c", "p"] == 1  # nothing differs


def test_critical_difference_is_demsars() -> None:
    """Demšar 2006, section 3.2.4: four classifiers on 14 sets, 1.25."""
    frame = pd.DataFrame(0.0, index=range(14), columns=list("abcd"))
    assert Comparison(frame, "").critical == pytest.approx(
        2.569 * (4 * 5 / (6 * 14)) ** 0.5, abs=1e-3
    )


def test_only_sets_that_all_have_are_compared() -> None:
    none = float("nan")
    means = pd.DataFrame(
        {"a": [0.1, 0.2, 0.3, 0.4], "b": [0.1, none, 0.3, 0.4], "rare": [0.1, none, none, none]},
        index=list("wxyz"),
    )
    whole, left_out = complete(means)
    assert whole.index.tolist() == ["w", "y", "z"]
    assert whole.columns.tolist() == ["a", "b"]
    assert left_out == "Left out: x (no result of b); rare (on fewer than half of the sets)."
