"""What a user may hand in, what is refused, and in which words."""

import gzip
import re

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells, samples_of, without_labels
from jojoscl.datasets.catalog import CATALOG, Entry, Variant
from jojoscl.datasets.download import RemoteFile
from jojoscl.datasets.load import CatalogDataset, FileDataset, load_dataset
from jojoscl.datasets.readers import read_h5
from jojoscl.datasets.simulate import SimulatedDataset
from jojoscl.utils.errors import UserError

COUNTS = np.random.default_rng(0).poisson(1.0, (20, 15)) + np.eye(20, 15, dtype=int)
LOGGED = np.log1p(COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4)


def cells(x=COUNTS, **obs):
    adata = AnnData(sp.csr_matrix(np.asarray(x, dtype=np.float64)))
    for key, values in obs.items():
        adata.obs[key] = values
    return adata


def changed(position, value):
    x = COUNTS.astype(float)
    x[position] = value
    return cells(x)


def renamed(**names):
    adata = cells()
    for key, values in names.items():
        setattr(adata, key, values)
    return adata


@pytest.mark.parametrize("kind", ["auto", "counts"])
@pytest.mark.parametrize("build", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array])
def test_any_matrix_becomes_csr(kind, build):
    adata = AnnData(build(COUNTS))
    result = as_cells(adata, kind=kind, name="mine")
    assert isinstance(result.X, sp.csr_matrix)
    assert result.X.dtype == np.float32
    np.testing.assert_array_equal(result.X.toarray(), COUNTS)
    decided_by = "whole numbers" if kind == "auto" else "setting"
    assert result.uns == {
        "kind": "counts",
        "kind_decided_by": decided_by,
        "name": "mine",
        "variant": "default",
    }
    assert "cell_type" not in result.obs


def test_log_normalised_values_are_recognised():
    assert as_cells(cells(LOGGED)).uns["kind"] == "log1p"


def test_the_given_object_stays_as_it_is():
    adata = cells(group=["a"] * 20, cell_type=["b"] * 20)
    before = adata.copy()
    result = as_cells(adata, label_key="group")
    assert list(result.obs["cell_type"]) == ["a"] * 20
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert adata.uns == before.uns
    assert (adata.X != before.X).nnz == 0


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        ([1.0, 10.0, 2.0, 1.0], ["1", "2", "10"]),
        ([3, 20, 100, 3], ["3", "20", "100"]),
        (["b", "a", "b", "c"], ["a", "b", "c"]),
        (pd.Categorical(["b", "a", "b", "a"], categories=["b", "a", "unused"]), ["a", "b"]),
    ],
)
def test_types_are_words_in_order(values, categories):
    result = as_cells(cells(COUNTS[:4], group=values), label_key="group").obs["cell_type"]
    assert list(result.cat.categories) == categories
    expected = [str(int(value)) if isinstance(value, float) else str(value) for value in values]
    assert list(result) == expected


def test_layers():
    adata = cells(COUNTS - COUNTS.mean())
    adata.layers["counts"] = sp.csr_matrix(COUNTS)
    adata.raw = cells(LOGGED)
    assert as_cells(adata, layer="counts").uns["kind"] == "counts"
    raw = as_cells(adata, layer="raw")
    assert raw.uns["kind"] == "log1p"
    np.testing.assert_allclose(raw.X.toarray(), LOGGED, rtol=1e-6)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (pd.Index([3, 1, 2, 10]), ["3", "1", "2", "10"]),
        (pd.CategoricalIndex(["a", np.nan, "b", "c"]), ["a", "nan", "b", "c"]),
        (pd.Index(["a", 1, 2.5, b"c"], dtype=object), ["a", "1", "2.5", "b'c'"]),
    ],
    ids=["numbers", "missing", "mixed"],
)
def test_names_of_any_type_become_text(names, expected):
    adata = cells(COUNTS[:4])
    adata._obs.index = names
    assert list(as_cells(adata).obs_names) == expected


def test_counts_up_to_rounding_are_counts():
    result = as_cells(cells(np.expm1(np.log1p(COUNTS.astype(np.float32)))))
    assert result.uns["kind"] == "counts"
    np.testing.assert_array_equal(result.X.toarray(), COUNTS)


def transposed_by_annotation():
    adata = cells()
    adata.var["group"] = "x"
    return adata


BARCODES = [f"AAACCTGAGT{a}{b}-1" for a in "ACGT" for b in "ACGT"][:15]
BAD = {
    "one cell": (cells(COUNTS[:1]), {}, "1 cells and 15 genes"),
    "no genes": (cells(COUNTS[:, :0]), {}, "20 cells and 0 genes"),
    "no X": (AnnData(obs=pd.DataFrame(index=list("abc"))), {}, "no matrix X"),
    "NaN": (changed((0, 0), np.nan), {}, "1 values are NaN or infinite"),
    "infinite": (changed((0, 0), np.inf), {}, "1 values are NaN or infinite"),
    "negative": (changed((0, 0), -1), {}, "1 values are negative"),
    "negative counts": (changed((0, 0), -1), {"kind": "counts"}, "1 values are negative"),
    "scaled": (cells(LOGGED - LOGGED.mean(axis=0)), {}, "negative, as in scaled data"),
    "fractions as counts": (
        changed((0, 0), 0.5),
        {"kind": "counts"},
        r"not whole \(such as 0\.5\).*data\.kind",
    ),
    "unclear": (
        changed((0, 0), 170.5),
        {},
        r"neither whole numbers nor log-normalised .*170\.5.* data\.kind=rpkm",
    ),
    "few fractions": (changed((0, 0), 1.5), {}, "neither whole numbers nor log-normalised"),
    "empty cells": (changed((3, slice(None)), 0), {}, "1 cells have no counts at all .such as '3'"),
    "duplicate barcodes": (
        renamed(obs_names=["x", "x", *map(str, range(18))]),
        {},
        "1 cells have the name of another .such as 'x'",
    ),
    "repeated genes": (
        renamed(var_names=["a", "a", *"bcdefghijklmn"]),
        {},
        "1 genes have the name of another .such as 'a'.*by identifiers",
    ),
    "barcodes as genes": (renamed(var_names=BARCODES), {}, "the matrix is transposed"),
    "types among genes": (
        transposed_by_annotation(),
        {"label_key": "group"},
        "the matrix is transposed",
    ),
    "wrong label key": (
        cells(celltype=["a"] * 20),
        {"label_key": "cell_type"},
        "did you mean 'celltype'",
    ),
    "no annotation": (cells(), {"label_key": "group"}, "no column 'group' .* has none"),
    "missing types": (
        cells(group=["a"] * 19 + [None]),
        {"label_key": "group"},
        "1 cells have no value in 'group': fill it in",
    ),
    "NaN types": (
        cells(group=[1.0] * 19 + [np.nan]),
        {"label_key": "group"},
        "1 cells have no value",
    ),
    "no layer": (cells(), {"layer": "counts"}, "no layer 'counts' .it has none"),
    "unknown kind": (cells(), {"kind": "count"}, "did you mean 'counts'"),
}


@pytest.mark.filterwarnings("ignore:(Observation|Variable) names are not unique")
@pytest.mark.parametrize("case", BAD)
def test_refused(case):
    adata, settings, words = BAD[case]
    with pytest.raises(UserError, match=words) as error:
        as_cells(adata, **settings)
    assert "\n" not in str(error.value)


def test_wrong_layer_names_the_nearest():
    adata = cells()
    adata.layers["counts"] = adata.X
    with pytest.raises(UserError, match="did you mean 'counts'"):
        as_cells(adata, layer="count")


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
    with pytest.raises(UserError, match=r"looks transposed, change data\.transpose"):
        FileDataset(**settings).load()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, r"data\.path="),
        ({"path": "/no/such/file.h5ad"}, "does not exist"),
        ({"path": 3}, "FileDataset.path must be"),
        ({"kind": "count"}, "did you mean 'counts'"),
        ({"transpose": "yes"}, "FileDataset.transpose must be bool"),
    ],
)
def test_wrong_settings(settings, words):
    with pytest.raises(UserError, match=words):
        FileDataset(**settings).load()


@pytest.fixture
def small_catalogue(monkeypatch, tmp_path):
    """A dataset in the format of the public files: with an empty cell, and cells of a type to leave out."""
    x = np.vstack([COUNTS, np.zeros((1, 15), int)])
    with h5py.File(tmp_path / "tiny.h5", "w") as file:
        file["X"], file["Y"] = x, np.arange(21.0) % 3 + 1
    file = RemoteFile("tiny.h5", "http://127.0.0.1:9/tiny.h5")
    variants = {
        "all": Variant((file,), read_h5, "Y", 20, 15, 3),
        "some": Variant((file,), read_h5, "Y", 13, 15, 2, without=2.0),
    }
    monkeypatch.setitem(CATALOG, "tiny", Entry("", "", variants, kind="rpkm"))
    return tmp_path


def test_a_catalogue_set_is_found_and_cleaned(small_catalogue):
    adata = load_dataset("tiny", root=small_catalogue)
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
    assert adata.uns == {
        "kind": "rpkm",
        "kind_decided_by": "catalogue",
        "name": "tiny",
        "variant": "all",
    }
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
    files = CATALOG["chen"].variants["annotated"].files
    with gzip.open(tmp_path / files[0].name, "wt") as handle:
        table.to_csv(handle, sep="\t")
    types[::-1].to_csv(tmp_path / files[1].name)
    adata = load_dataset("chen", root=tmp_path)
    assert adata.shape == (15, 15)
    assert list(adata.obs["cell_type"]) == ["Astro", "GABA1", "OPC"] * 5
    np.testing.assert_array_equal(adata.X.toarray(), np.delete(COUNTS, slice(2, None, 4), axis=0))
    assert load_dataset("chen", root=tmp_path, variant="all_cells").n_obs == 20


def test_result_can_be_written(tmp_path):
    as_cells(cells(group=["a", "b"] * 10), label_key="group").write_h5ad(tmp_path / "a.h5ad")
    assert anndata.read_h5ad(tmp_path / "a.h5ad").uns["kind"] == "counts"


def test_annotation_of_any_kind_is_no_obstacle(tmp_path):
    adata = AnnData(np.random.default_rng(0).poisson(1.0, (6, 4)) + np.eye(6, 4))
    adata.obs["a/b"] = [object() for _ in range(6)]
    adata.obs["group"] = pd.Categorical([1.0, 2.0] * 3)
    adata.obs.index = pd.Index(range(6)).astype(str)
    cells = as_cells(adata, label_key="group")
    cells.write_h5ad(tmp_path / "x.h5ad")
    assert anndata.read_h5ad(tmp_path / "x.h5ad").obs["cell_type"].tolist() == ["1", "2"] * 3


def test_a_dataset_says_what_its_values_are():
    adata = as_cells(cells(LOGGED * 100), kind="rpkm")
    again = as_cells(adata)
    assert (again.uns["kind"], again.uns["kind_decided_by"]) == ("rpkm", "setting")
    adata.layers["counts"] = adata.X.ceil()
    assert as_cells(adata, layer="counts").uns["kind"] == "counts"


MATRICES = {
    "objects": (np.array(COUNTS.tolist(), dtype=object), "values are of type object: give numbers"),
    "words": (COUNTS.astype(str), "values are of type <U21: give numbers"),
    "complex": (COUNTS.astype(complex), "values are of type complex128: give numbers"),
    "too large": (COUNTS * 1e39, "values are NaN or infinite"),
}


def put(adata, x):
    """Make x the matrix of `adata`, past the checks of anndata."""
    if hasattr(adata, "_X"):
        adata._X = x
    else:  # since 0.13
        adata.layers._data[None] = x


@pytest.mark.parametrize("case", MATRICES)
def test_matrices_of_other_types(case):
    x, words = MATRICES[case]
    adata = cells()
    put(adata, x)
    with pytest.raises(UserError, match=words):
        as_cells(adata)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.longdouble])
def test_numbers_of_any_type(dtype):
    result = as_cells(AnnData(COUNTS.astype(dtype)))
    np.testing.assert_array_equal(result.X.toarray(), COUNTS.astype(dtype).astype(float))
    assert result.uns["kind"] == "counts"


class Lazy:
    """In place of a matrix of dask, which is not installed everywhere."""

    shape, dtype, ndim = (20, 15), np.dtype("f4"), 2


def test_what_is_not_there_yet_is_refused():
    adata = cells()
    put(adata, Lazy())
    with pytest.raises(
        UserError, match="The matrix is a Lazy: give a numpy array or a sparse matrix"
    ):
        as_cells(adata)


def test_a_file_without_x(tmp_path):
    AnnData(
        obs=pd.DataFrame(index=[f"c{i}" for i in range(20)]), layers={"counts": COUNTS}
    ).write_h5ad(tmp_path / "a.h5ad")
    for backed in (False, True):
        with pytest.raises(UserError, match=r"no matrix X: name the layer .* data\.layer"):
            FileDataset(path=tmp_path / "a.h5ad", backed=backed).load()
        assert (
            FileDataset(path=tmp_path / "a.h5ad", backed=backed, layer="counts").load().n_obs == 20
        )
    with pytest.raises(UserError, match="no matrix X"):
        as_cells(anndata.read_h5ad(tmp_path / "a.h5ad", backed="r"))


def test_fingerprints(tmp_path, small_catalogue):
    cells(group=["a", "b"] * 10).write_h5ad(tmp_path / "mine.h5ad")
    mine = FileDataset(path=str(tmp_path / "mine.h5ad"))
    first = mine.fingerprint()
    assert set(first["path"]) == {"size", "sha256"}
    assert FileDataset(path=tmp_path / "mine.h5ad", kind="counts").fingerprint() == first
    cells(COUNTS + 1).write_h5ad(tmp_path / "mine.h5ad")
    assert mine.fingerprint() != first
    assert (
        FileDataset(path=tmp_path / "none.h5ad").fingerprint() == FileDataset().fingerprint() == {}
    )
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
    assert re.fullmatch("sha256:[0-9a-f]{64}", tiny.fingerprint()["tiny.h5"])
    assert (
        CatalogDataset(name="yan", root=tmp_path)
        .fingerprint()["yan.rda"]
        .startswith("sha256:04dbe1de")
    )


# ---- samples -------------------------------------------------------------------------------------


def sampled(samples: list[object], **obs: object) -> AnnData:
    adata = AnnData(sp.csr_matrix(np.ones((len(samples), 3), np.float32)))
    adata.obs = pd.DataFrame({"a/b": samples, **obs}, index=[f"c{i}" for i in range(len(samples))])
    return adata


def test_a_method_sees_the_samples_and_no_other_column() -> None:
    adata = sampled([2] * 10 + [1] * 12, cell_type=["x"] * 22)
    cells = as_cells(adata, label_key="cell_type", batch_key="a/b")
    assert cells.obs.columns.tolist() == ["cell_type", "_batch"]
    bare = without_labels(cells)
    assert bare.obs.columns.tolist() == ["_batch"]
    assert samples_of(bare).tolist() == [1] * 10 + [0] * 12
    assert samples_of(without_labels(as_cells(adata))) is None


@pytest.mark.parametrize(
    ("samples", "key", "words"),
    [
        (["x"] * 20, "a/b", "All cells have one value in 'a/b': leave out batch_key"),
        (["x"] * 20 + ["y"] * 9, "a/b", "Sample 'y' of 'a/b' has 9 cells, and 10 are needed"),
        (["x"] * 20 + [None] * 10, "a/b", "10 cells have no value in 'a/b'"),
        (
            ["x"] * 20 + ["y"] * 10,
            "ab",
            r"There is no column 'ab' in the cells' annotation \(did you mean 'a/b'",
        ),
        (["x"] * 20 + ["y"] * 10, "cell_type", "'cell_type' cannot hold both"),
    ],
)
def test_samples_that_are_none_are_refused(samples: list[object], key: str, words: str) -> None:
    adata = sampled(samples, cell_type=["t"] * len(samples))
    with pytest.raises(UserError, match=words):
        as_cells(adata, label_key="cell_type", batch_key=key)
