"""`jojoscl predict`: a kept model, new cells, a file with their clusters; and bad input in one sentence."""

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import jojoscl
from jojoscl.runner.cli import help_text

WHOLE = "model=model.npz data.path=new.h5ad"


def predict_of_the_help() -> list[str]:
    (line,) = (line for line in help_text().splitlines() if line.startswith("  jojoscl predict"))
    return line.split()[1:]


@pytest.fixture
def folder(tmp_path: Path, cells: AnnData) -> Path:
    """A folder with a model of 90 cells, and 30 new ones."""
    jojoscl.JojoSCL(n_draws=2).fit(cells[:90].copy(), 3).save(tmp_path / "model.npz")
    cells[90:].copy().write_h5ad(tmp_path / "new.h5ad")
    return tmp_path


def test_the_example_of_the_help_writes_clusters_and_embedding(in_process, folder, cells):
    done = in_process(*predict_of_the_help())
    assert (done.code, done.err) == (0, "")
    found, expected = (
        ad.read_h5ad(folder / "predicted.h5ad"),
        jojoscl.load(folder / "model.npz").predict(cells[90:]),
    )
    summary, path = done.out.splitlines()
    assert re.fullmatch(r"30 cells in \d of 3 clusters, mean confidence \d\.\d\d", summary)
    assert path == "  predicted.h5ad"
    np.testing.assert_array_equal(found.obs["jojoscl"].astype(int), expected.labels)
    np.testing.assert_array_equal(found.obs["jojoscl_confidence"], expected.obs["confidence"])
    np.testing.assert_array_equal(found.obsm["X_jojoscl"], expected.embedding)
    assert found.obs_names.tolist() == cells.obs_names[90:].tolist()
    assert found.uns["jojoscl"]["params"]["fit"]["settings"]["n_draws"] == 2


def test_all_columns_of_the_user_are_kept(in_process, folder):
    new = ad.read_h5ad(folder / "new.h5ad")
    new.obs["mouse"] = np.where(np.arange(30) % 2, "a", "b")
    new.write_h5ad(folder / "new.h5ad")
    mixed = pd.DataFrame(
        {"cell": new.obs_names, "note": [1, "x", None] * 10, "seen": [True, None] * 15}
    )
    mixed.to_csv(folder / "beside.csv", index=False)
    assert in_process(*predict_of_the_help()).code == 0
    run = [
        "data=h5ad", "data.path=new.h5ad", "n_clusters=2", "pictures=false",
        "method=pca_kmeans",
    ]  # fmt: skip
    assert in_process(*run, "data.metadata=beside.csv", "data.label_key=mouse").code == 0
    (result,) = folder.rglob("result.h5ad")
    for path in (folder / "predicted.h5ad", result):
        obs = ad.read_h5ad(path).obs
        for name in new.obs:
            assert (obs[name].astype(str) == new.obs[name].astype(str)).all()
    assert obs["note"].isna().sum() == 10
    assert obs["note"].iloc[:2].tolist() == ["1", "x"]


def test_a_model_with_any_name_and_other_settings(in_process, folder, cells):
    (folder / "a model, new.npz").write_bytes((folder / "model.npz").read_bytes())
    arguments = ("predict", "model=a model, new.npz", "data.path=new.h5ad", "output=x.h5ad")
    assert in_process(*arguments, "n_neighbors=1").code == 0
    found = ad.read_h5ad(folder / "x.h5ad")
    expected = jojoscl.load(folder / "model.npz").predict(cells[90:], n_neighbors=1)
    np.testing.assert_array_equal(found.obs["jojoscl"].astype(int), expected.labels)
    assert in_process(*arguments).code == 2, "nothing is written over"
    assert in_process(*arguments[:-1], "output=x.csv", "n_neighbors=1").code == 0
    table = pd.read_csv(folder / "x.csv")
    assert table.columns.tolist() == ["cell", "cluster", "confidence", "novelty"]
    assert table["cell"].tolist() == cells.obs_names[90:].tolist()
    np.testing.assert_array_equal(table["cluster"], expected.labels)


def test_a_run_keeps_a_model_on_request_even_when_it_was_finished_before(in_process, tmp_path):
    run = [
        "data=simulated",
        "data.n_cells=60",
        "pictures=false",
        "method.n_draws=2",
        "hydra.run.dir=run",
    ]
    assert in_process(*run).code == 0
    assert not (tmp_path / "run" / "model.npz").exists()
    before = pd.read_csv(tmp_path / "run" / "labels.csv")
    assert in_process(*run, "save_model=true").code == 0
    model = jojoscl.load(tmp_path / "run" / "model.npz")
    np.testing.assert_array_equal(model.labels_, before["cluster"])
    same = (*run[:2], "n_neighbors=1", "output=p.h5ad")
    assert in_process("predict", "model=run/model.npz", *same).code == 0
    predicted = ad.read_h5ad(tmp_path / "p.h5ad").obs["jojoscl"]
    assert (predicted.astype(int).to_numpy() == before["cluster"]).all()


def test_bad_input_is_one_sentence(in_process, folder, subtests):
    for arguments, words in [
        ("data.path=new.h5ad", "No model is given: name one by model="),
        ("model=model.npz", "No file is given: name yours by data.path="),
        ("model=none.npz data.path=new.h5ad", "none.npz does not exist"),
        (
            "model=new.h5ad data.path=new.h5ad",
            r"new.h5ad cannot be read \(File is not a zip file\)",
        ),
        (f"{WHOLE} output=x.txt", "output=x.txt is not written: give a name that ends in"),
        (f"{WHOLE} output=new.h5ad", "new.h5ad is there already: give another output"),
        (f"{WHOLE} data.kind=rpkm", "on counts: give these, or say what they are by data.kind=."),
        (f"{WHOLE} data.pth=x", "There is no setting 'data.pth'"),
        (f"{WHOLE} ouput=x.h5ad", r"There is no setting 'ouput' \(did you mean 'output'"),
        (f"{WHOLE} +x=1", r"There is no setting 'x' \(there are: batch_key, max_missing, model"),
        (f"{WHOLE} max_missing=2", "max_missing must be between 0 and 1"),
        (f"{WHOLE} output=new.h5ad/p.h5ad", "cannot be written"),
        (f"-m {WHOLE}", "'-m' cannot be read: write key=value"),
        ("model=model.npz data=simulated data.n_genes=20", "genes of the model are missing"),
    ]:
        with subtests.test(arguments=arguments):
            done = in_process("predict", *arguments.split())
            assert done.code == 2
            assert re.search(words, done.err), done.err
            assert done.err.count("\n") == 1
            assert sorted(file.name for file in folder.iterdir()) == ["model.npz", "new.h5ad"]
