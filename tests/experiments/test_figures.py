"""Pictures of a table of runs: what they show, and what they say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from experiments import figures, umaps
from experiments.__main__ import main
from experiments.runs import read
from experiments.text import save
from jojoscl.utils.errors import UserError

COLUMNS = ["dataset", "variant", "method", "seed", "selection", "ari", "nmi", "seconds"]
RUNS = [
    ("yan", "all", "sccl", 0, "oracle", 0.9, 0.9, 60),
    ("yan", "all", "sccl", 0, "last", 0.5, 0.6, 60),
    ("yan", "all", "pca_kmeans", 0, "last", 0.4, 0.5, 1),
    ("yan", "all", "jojoscl", 0, "last", 0.6, 0.7, 10),
    ("yan", "all", "jojoscl", 1, "last", 0.8, 0.7, 30),
    ("new", "all", "jojoscl", 0, "last", 0.2, 0.7, 1),
    ("new", "all", "mine", 0, "last", 0.1, 0.3, 2),
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pd.DataFrame(RUNS, columns=COLUMNS).to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def finished(
    folder: Path,
    clusters: str,
    embedding: np.ndarray,
    ari: float,
    truth: str = "aabb",
    **more: object,
) -> None:
    """A run as `jojoscl` leaves it, as far as pictures look."""
    folder.mkdir(parents=True)
    result = AnnData(
        obs=pd.DataFrame({"cell_type": list(truth), "jojoscl": list(clusters)}, index=list("wxyz"))
    )
    result.obsm["X_jojoscl"] = embedding
    result.write_h5ad(folder / "result.h5ad")
    about = {
        "dataset": "yan",
        "method": "sccl",
        "seed": 0,
        "selection": "last",
        "ari": ari,
        "nmi": 0.5,
    }
    (folder / "metrics.json").write_text(json.dumps(about | {"seconds": {"total": 1.0}} | more))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        umaps, "umap_coordinates", lambda embedding, seed: embedding[:, :2]
    )  # UMAP takes seconds
    ours = np.arange(12.0).reshape(4, 3)
    finished(tmp_path / "runs" / "ours", "1100", ours, 1.0, method="jojoscl")
    finished(
        tmp_path / "runs" / "theirs",
        "0121",
        -ours,
        0.3,
        selection="oracle",
        last_ari=0.1,
        last_nmi=0,
        last_acc=0,
    )
    finished(tmp_path / "runs" / "later", "0000", -ours, 0.0, seed=1)
    return tmp_path / "runs"


def styled(table: Path) -> pd.DataFrame:
    return figures.styled(read(table, figures.NEEDED))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def panel(figure: Figure, title: str, which: int = 0) -> Any:
    return [axis for axis in figure.axes if axis.get_title() == title][which]


def test_a_bar_is_the_mean_over_seeds_in_a_fixed_order(table: Path) -> None:
    figure = figures.scores(styled(table))
    axis = panel(figure, "yan")
    labels = [
        label.get_text() for label in figure.axes[0].get_yticklabels()
    ]  # those of the first panel serve all
    assert labels == ["jojoscl", "sccl", "sccl †", "pca_kmeans", "mine"]
    assert [bar.get_width() for bar in axis.patches][:4] == pytest.approx([0.7, 0.5, 0.9, 0.4])
    (low, high) = axis.collections[0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx(
        (0.7 - np.sqrt(0.02), 0.7 + np.sqrt(0.02))
    )  # sd of 0.6 and 0.8
    assert [text.get_text() for text in axis.texts] == ["no run"]


def test_what_the_labels_picked_is_hatched_and_said(table: Path) -> None:
    runs = styled(table)
    figure = figures.scores(runs)
    assert [bar.get_hatch() for bar in panel(figure, "yan").patches] == ["", "", "////", "", ""]
    assert "† epoch picked by true labels" in texts(figure)
    assert not any("†" in text for text in texts(figures.scores(runs[~runs["oracle"]])))


def test_published_score_is_a_line_where_there_is_one(table: Path) -> None:
    figure = figures.scores(styled(table))
    lines = {
        which: [line.get_xdata()[0] for line in panel(figure, "yan", which).lines]
        for which in (0, 1)
    }
    assert 0.8662 in lines[0]
    assert 0.8793 in lines[1]
    assert not any(line.get_linestyle() == "--" for line in panel(figure, "new").lines)


def test_variants_of_a_set_are_told_apart() -> None:
    two = pd.DataFrame(
        [("yan", "all", *RUNS[0][2:]), ("yan", "few", *RUNS[0][2:])], columns=COLUMNS
    )
    assert list(figures.styled(two)["set"]) == ["yan all", "yan few"]


def test_time_shows_means_of_label_free_rows(table: Path) -> None:
    figure = figures.time(styled(table))
    points = [tuple(points.get_offsets()[0]) for points in panel(figure, "yan").collections]
    assert points == [pytest.approx(point) for point in [(20, 0.7), (60, 0.5), (1, 0.4)]]
    assert "side by side" in figure.get_supxlabel()
    assert (
        len([axis for axis in figure.axes if "every method" in axis.get_title()]) == 0
    )  # no set has all


def test_time_begins_with_the_mean_of_shared_sets() -> None:
    means = pd.DataFrame(
        [
            ("x", "a", 1, 0.1),
            ("y", "a", 3, 0.3),
            ("z", "a", 9, 0.9),
            ("x", "b", 2, 0),
            ("y", "b", 2, 0),
        ],
        columns=["set", "method", "seconds", "ari"],
    )
    title, rows = next(figures.time_panels(means))
    assert title.startswith("mean of the 2 sets")
    assert rows.set_index("method").loc["a"].tolist() == pytest.approx([2, 0.2])


def test_match_is_the_best_as_a_whole() -> None:
    """Cells in common: cluster 0 has a 3, b 2; cluster 1 has a 2; 2 has c 1. 0-a first would leave b nothing."""
    truth = np.array(list("aaabbaac"))
    clusters = np.array(list("00000112"))
    assert umaps.match(truth, clusters) == {"0": "b", "1": "a", "2": "c"}


def test_a_cluster_without_a_type_is_grey() -> None:
    truth, clusters = np.array(list("aaabbb")), np.array(list("110222"))
    palette = {"a": "#ff0000", "b": "#0000ff"}
    assert (
        list(umaps.colours(truth, clusters, palette))
        == ["#ff0000"] * 2 + ["0.25"] + ["#0000ff"] * 3
    )


@pytest.mark.parametrize("count", [3, 20, 46])
def test_types_have_colours_of_their_own_and_no_grey(count: int) -> None:
    palette = umaps.type_colours(np.array([str(i) for i in range(count)]))
    assert list(palette) == [str(i) for i in range(count)]
    assert len(set(palette.values())) == count
    assert all(np.ptp(to_rgb(colour)) > 0.1 for colour in palette.values())


def test_umaps_have_a_command_of_their_own(runs: Path, tmp_path: Path) -> None:
    main(["umaps", str(runs), "--figures", str(tmp_path / "out")])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["umap_yan.png"]
    with pytest.raises(UserError, match="There is no finished run"):
        umaps.make(tmp_path, tmp_path, tmp_path / "nowhere")


def test_umaps_share_the_layout_and_colours(runs: Path) -> None:
    [(name, figure)] = umaps.umaps(runs)
    assert name == "yan"
    panels = {axis.get_title(): axis.collections[0] for axis in figure.axes if axis.get_title()}
    assert list(panels) == ["annotated types", "jojoscl\nARI 1.000", "sccl †\nARI 0.300"]
    truth, ours, theirs = (
        [to_hex(colour) for colour in shown.get_facecolor()] for shown in panels.values()
    )
    assert truth == ours
    assert len(set(truth)) == 2
    assert len(set(theirs) - set(truth)) == 1  # three clusters of two types
    for shown in panels.values():
        assert np.array_equal(np.sort(shown.get_offsets()[:, 0]), [0, 3, 6, 9])
    assert "embedding of jojoscl\n† epoch picked by true labels" in figure.get_suptitle()


def test_a_run_of_other_cells_is_left_out(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = AnnData(obs=pd.DataFrame({"cell_type": ["a"], "jojoscl": ["0"]}, index=["v"]))
    other.write_h5ad(runs / "theirs" / "result.h5ad")
    [(_, figure)] = umaps.umaps(runs)
    assert "sccl" not in "".join(axis.get_title() for axis in figure.axes)
    assert "other cells" in capsys.readouterr().out


def test_command_writes_small_pictures(table: Path, tmp_path: Path) -> None:
    main(["figures", str(table), "--figures", str(tmp_path / "out")])
    pictures = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in pictures] == ["scores.png", "time.png"]
    for path in pictures:
        assert path.stat().st_size < 100_000
        with Image.open(path) as picture:
            assert picture.format == "PNG"


def test_same_table_same_bytes(table: Path, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        save(figures.scores(styled(table)), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "There is no table"),
        ("", "cannot be read as a table of runs"),
        ("a,b\n1,2\n", "no column 'dataset'"),
        (",".join(COLUMNS) + "\n", "holds no run"),
    ],
)
def test_wrong_table_is_one_sentence(
    text: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "table.csv").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main(["figures", str(tmp_path / "table.csv"), "--figures", str(tmp_path)])
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_broken_result_is_one_sentence(runs: Path) -> None:
    (runs / "ours" / "result.h5ad").write_bytes(b"half a file")
    with pytest.raises(UserError, match="cannot be read"):
        list(umaps.umaps(runs))
