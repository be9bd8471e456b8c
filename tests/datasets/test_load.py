"""Datasets by name and by file."""

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.datasets.load import CATALOG, CatalogDataset, FileDataset, find, load_dataset
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.utils.errors import UserError
from tests.small import assert_refused

COUNTS = np.random.default_rng(0).poisson(1.0, (20, 15)) + np.eye(20, 15, dtype=int)


def cells(x: np.ndarray = COUNTS, **obs: Any) -> AnnData:
    adata = AnnData(sp.csr_matrix(np.asarray(x, dtype=np.float64)))
    for key, values in obs.items():
        adata.obs[key] = values
    return adata


def test_a_file_of_the_users(tmp_path):
    adata = cells(group=["a", "b"] * 10, depth=1.5)
    adata.write_h5ad(tmp_path / "mine.h5ad")
    result = FileDataset(path=str(tmp_path / "mine.h5ad"), label_key="group", name="mine").load()
    np.testing.assert_array_equal(result.X.toarray(), COUNTS)
    assert list(result.obs["cell_type"]) == ["a", "b"] * 10
    assert list(result.obs) == ["cell_type"], "the rest of the annotation is the user's"
    assert result.uns["name"] == "mine"
    without = FileDataset(path=tmp_path / "mine.h5ad").load()
    assert "cell_type" not in without.obs


def test_a_table_with_metadata(tmp_path):
    table = pd.DataFrame(
        COUNTS, index=[f"c{i}" for i in range(20)], columns=[f"g{j}" for j in range(15)]
    )
    table.T.to_csv(tmp_path / "a.csv")
    pd.DataFrame({"type": ["a", "b"] * 10}, index=table.index).to_csv(tmp_path / "m.csv")
    settings = {"path": tmp_path / "a.csv", "metadata": tmp_path / "m.csv", "label_key": "type"}
    assert list(FileDataset(**settings, transpose=True).load().obs["cell_type"]) == ["a", "b"] * 10
    with pytest.raises(UserError, match=r"change data\.transpose"):
        FileDataset(**settings).load()


def test_wrong_settings():
    assert_refused(
        lambda settings: FileDataset(**settings).load(),
        ({}, r"data\.path="),
        ({"path": "/no/such/file.h5ad"}, "does not exist"),
        ({"path": 3}, "FileDataset.path must be"),
        ({"kind": "count"}, "did you mean 'counts'"),
        ({"transpose": "yes"}, "FileDataset.transpose must be bool"),
    )


@pytest.fixture
def small_catalogue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A dataset in the format of the public files: with an empty cell, and cells of a type to leave out."""
    x = np.vstack([COUNTS, np.zeros((1, 15), int)])
    with h5py.File(tmp_path / "tiny.h5", "w") as file:
        file["X"], file["Y"] = x, np.arange(21.0) % 3 + 1
    files = [{"name": "tiny.h5", "url": "http://127.0.0.1:9/tiny.h5"}]
    about = {"reader": "h5", "label_key": "Y", "files": files, "kind": "rpkm"}
    variants = {"all": {}, "some": {"keep": "Y != 2"}}
    monkeypatch.setitem(CATALOG, "tiny", {**about, "variants": variants})
    return tmp_path


def test_a_catalogue_set_is_found_and_cleaned(small_catalogue):
    adata = load_dataset("tiny", root=small_catalogue)
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
    names = {"name": "tiny", "variant": "all"}
    assert adata.uns == {"kind": "rpkm", "kind_decided_by": "catalogue", **names}
    assert list(adata.obs["cell_type"].cat.categories) == ["1", "2", "3"]
    some = CatalogDataset(name="tiny", variant="some", root=str(small_catalogue)).load()
    assert some.shape == (13, 15)
    assert list(some.obs["cell_type"].cat.categories) == ["1", "3"]
    assert some.uns["variant"] == "some"


def test_the_variable_names_the_folder(small_catalogue, monkeypatch):
    monkeypatch.setenv("JOJOSCL_DATA_ROOT", str(small_catalogue))
    assert load_dataset("tiny").shape == (20, 15)


def test_chen_from_files_of_its_format(tmp_path):
    """GSE87544: genes x cells in tabs, types in a csv whose second column names the cells; no checksum."""
    names = [f"B1_{i}_Normal" for i in range(20)]
    table = pd.DataFrame(
        COUNTS.T, index=pd.Index([f"g{j}" for j in range(15)], name="Gene"), columns=names
    )
    types = pd.DataFrame(
        {"Cell_ID_temp": names, "SVM_clusterID": ["Astro", "GABA1", "zothers", "OPC"] * 5}
    )
    files = find("chen", "annotated")["files"]
    with gzip.open(tmp_path / files[0]["name"], "wt") as handle:
        table.to_csv(handle, sep="\t")
    types[::-1].to_csv(tmp_path / files[1]["name"])
    adata = load_dataset("chen", root=tmp_path)
    assert adata.shape == (15, 15)
    assert list(adata.obs["cell_type"]) == ["Astro", "GABA1", "OPC"] * 5
    np.testing.assert_array_equal(adata.X.toarray(), np.delete(COUNTS, slice(2, None, 4), axis=0))
    assert load_dataset("chen", root=tmp_path, variant="all_cells").n_obs == 20


def test_a_file_without_x(tmp_path):
    AnnData(
        obs=pd.DataFrame(index=[f"c{i}" for i in range(20)]), layers={"counts": COUNTS}
    ).write_h5ad(tmp_path / "a.h5ad")
    for backed in (False, True):
        with pytest.raises(UserError, match=r"has no X: give data\.layer"):
            FileDataset(path=tmp_path / "a.h5ad", backed=backed).load()
        layer = FileDataset(path=tmp_path / "a.h5ad", backed=backed, layer="counts")
        assert layer.load().n_obs == 20


def test_fingerprints(tmp_path, small_catalogue):
    cells(group=["a", "b"] * 10).write_h5ad(tmp_path / "mine.h5ad")
    mine = FileDataset(path=str(tmp_path / "mine.h5ad"))
    first = mine.fingerprint()
    assert set(first["path"]) == {"size", "sha256"}
    assert FileDataset(path=tmp_path / "mine.h5ad", kind="counts").fingerprint() == first
    cells(COUNTS + 1).write_h5ad(tmp_path / "mine.h5ad")
    assert mine.fingerprint() != first
    none = FileDataset(path=tmp_path / "none.h5ad")
    assert none.fingerprint() == FileDataset().fingerprint() == {}
    (tmp_path / "m.csv").write_text("a")
    both = FileDataset(path=tmp_path / "mine.h5ad", metadata=tmp_path / "m.csv").fingerprint()
    assert both == mine.fingerprint() | {
        "metadata": {"size": 1, "sha256": both["metadata"]["sha256"]}
    }
    assert SimulatedDataset(seed=3).fingerprint() == {}
    assert CatalogDataset(name="tiny", root=tmp_path / "x").fingerprint() == {"variant": "all"}, (
        "nothing is there yet"
    )
    tiny = CatalogDataset(name="tiny", root=small_catalogue)
    sums = tiny.fingerprint()["tiny.h5"]  # of the copy: this file has no published checksum
    assert re.fullmatch("sha256:[0-9a-f]{64}", str(sums))
    (small_catalogue / "tiny.h5").write_bytes(b"other")
    assert tiny.fingerprint()["tiny.h5"] == "sha256:" + hashlib.sha256(b"other").hexdigest()
    yan = CatalogDataset(name="yan", root=tmp_path).fingerprint()
    assert yan["yan.rda"].startswith("sha256:04dbe1de")
