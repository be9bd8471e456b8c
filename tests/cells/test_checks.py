"""What a user may hand in, what is refused, and in which words."""

from itertools import product

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.checks import as_cells, samples_of, without_labels
from jojoscl.utils.errors import UserError
from tests.small import assert_refused

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


def test_any_matrix_becomes_csr():
    matrices = [build(COUNTS) for build in (np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array)]
    for x, kind in product(matrices, ("auto", "counts")):
        result = as_cells(AnnData(x), kind=kind, name="mine")
        assert isinstance(result.X, sp.csr_matrix), type(x)
        assert result.X.dtype == np.float32
        np.testing.assert_array_equal(result.X.toarray(), COUNTS)
        decided_by = "whole numbers" if kind == "auto" else "setting"
        names = {"name": "mine", "variant": "default"}
        assert result.uns == {"kind": "counts", "kind_decided_by": decided_by, **names}
        assert "cell_type" not in result.obs


def test_log_normalised_values_are_recognised():
    assert as_cells(cells(LOGGED)).uns["kind"] == "log1p"


def test_the_given_object_is_not_changed():
    adata = cells(group=["a"] * 20, cell_type=["b"] * 20)
    before = adata.copy()
    result = as_cells(adata, label_key="group")
    assert list(result.obs["cell_type"]) == ["a"] * 20
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert adata.uns == before.uns
    assert (adata.X != before.X).nnz == 0


def test_types_are_words_in_order(subtests):
    for values, categories in [
        ([1.0, 10.0, 2.0, 1.0], ["1", "2", "10"]),
        ([3, 20, 100, 3], ["3", "20", "100"]),
        (["b", "a", "b", "c"], ["a", "b", "c"]),
        (pd.Categorical(["b", "a", "b", "a"], categories=["b", "a", "unused"]), ["a", "b"]),
    ]:
        with subtests.test(values=values):
            result = as_cells(cells(COUNTS[:4], group=values), label_key="group").obs["cell_type"]
            assert list(result.cat.categories) == categories
            expected = [
                str(int(value)) if isinstance(value, float) else str(value) for value in values
            ]
            assert list(result) == expected


def test_layers():
    adata = cells(COUNTS - COUNTS.mean())
    adata.layers["counts"] = sp.csr_matrix(COUNTS)
    adata.raw = cells(LOGGED)
    assert as_cells(adata, layer="counts").uns["kind"] == "counts"
    raw = as_cells(adata, layer="raw")
    assert raw.uns["kind"] == "log1p"
    np.testing.assert_allclose(raw.X.toarray(), LOGGED, rtol=1e-6)


def test_names_of_any_type_become_text(subtests):
    for names, expected in [
        (pd.Index([3, 1, 2, 10]), ["3", "1", "2", "10"]),
        (pd.CategoricalIndex(["a", np.nan, "b", "c"]), ["a", "nan", "b", "c"]),
        (pd.Index(["a", 1, 2.5, None], dtype=object), ["a", "1", "2.5", "None"]),
    ]:
        with subtests.test(names=names):
            adata = cells(COUNTS[:4])
            adata._obs.index = names
            assert list(as_cells(adata).obs_names) == expected


def test_counts_up_to_rounding_are_counts():
    result = as_cells(cells(np.expm1(np.log1p(COUNTS.astype(np.float32)))))
    assert result.uns["kind"] == "counts"
    np.testing.assert_array_equal(result.X.toarray(), COUNTS)


BARCODES = [f"AAACCTGAGT{a}{b}-1" for a in "ACGT" for b in "ACGT"][:15]


@pytest.mark.filterwarnings("ignore:(Observation|Variable) names are not unique")
def test_refused():
    columns = cells(celltype=["a"] * 20, donors=["a"] * 20)
    half = changed((0, 0), 0.5)
    rows = [
        (cells(COUNTS[:1]), {}, "1 cells and 15 genes"),
        (cells(COUNTS[:, :0]), {}, "20 cells and 0 genes"),
        (AnnData(obs=pd.DataFrame(index=list("abc"))), {}, "no matrix X"),
        (changed((0, 0), np.nan), {}, "1 values are NaN or infinite"),
        (changed((0, 0), np.inf), {}, "1 values are NaN or infinite"),
        (changed((0, 0), -1), {}, "1 values are negative"),
        (changed((0, 0), -1), {"kind": "counts"}, "1 values are negative"),
        (cells(LOGGED - LOGGED.mean(axis=0)), {}, "negative, as in scaled data"),
        (half, {"kind": "counts"}, r"not whole \(such as 0\.5\).*kind='log1p'"),
        (changed((0, 0), 170.5), {}, r"neither whole .*170\.5.* kind='log1p' or kind='rpkm'"),
        (changed((0, 0), 1.5), {}, "neither whole numbers nor log-normalised"),
        (changed((3, slice(None)), 0), {}, "1 cells have no counts at all .such as '3'"),
        (
            renamed(obs_names=["x", "x", *map(str, range(18))]),
            {},
            "1 cells .* another .such as 'x'",
        ),
        (renamed(var_names=["a", "a", *"bcdefghijklmn"]), {}, "1 genes .* 'a'.*by identifiers"),
        (renamed(var_names=BARCODES), {}, "the matrix is transposed"),
        (
            columns,
            {"label_key": "cell_type"},
            "no column 'cell_type' in .* annotation .there are: ",
        ),
        (
            columns,
            {"batch_key": "donor"},
            "no column 'donor' in the cells' annotation .there are: ",
        ),
        (cells(), {"label_key": "group"}, "no column 'group'"),
        (
            cells(group=["a"] * 19 + [None]),
            {"label_key": "group"},
            "1 .* value in 'group': fill it in",
        ),
        (cells(group=[1.0] * 19 + [np.nan]), {"label_key": "group"}, "1 cells have no value"),
        (cells(), {"layer": "counts"}, "no layer 'counts'"),
        (cells(), {"layer": ["a", "b"]}, r"no layer \['a', 'b'\]"),
        (cells(), {"kind": "count"}, "did you mean 'counts'"),
    ]
    assert_refused(
        lambda given: as_cells(given[0], **given[1]), *[(row[:2], row[2]) for row in rows]
    )


def test_wrong_layer_names_the_nearest():
    adata = cells()
    adata.layers["counts"] = adata.X
    with pytest.raises(UserError, match="did you mean 'counts'"):
        as_cells(adata, layer="count")


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


def put(adata, x):
    """Make x the matrix of `adata`, past the checks of anndata."""
    if hasattr(adata, "_X"):
        adata._X = x
    else:  # since 0.13
        adata.layers._data[None] = x
    return adata


def test_matrices_of_other_types():
    assert_refused(
        lambda x: as_cells(put(cells(), x)),
        (np.array(COUNTS.tolist(), dtype=object), "of type object: give .* of numbers"),
        (COUNTS.astype(str), "of type <U21: give .* of numbers"),
        (COUNTS.astype(complex), "of type complex128: give .* of numbers"),
        (Lazy(), "The matrix is a Lazy of type float32: give a numpy array or a sparse matrix"),
    )


def test_numbers_of_any_type():
    for dtype in (bool, np.int8, np.uint64, np.float16, np.longdouble):
        result = as_cells(AnnData(COUNTS.astype(dtype)))
        np.testing.assert_array_equal(result.X.toarray(), COUNTS.astype(dtype).astype(float))
        assert result.uns["kind"] == "counts", dtype


class Lazy:
    """In place of a matrix of dask, which is not installed everywhere."""

    shape, dtype, ndim = (20, 15), np.dtype("f4"), 2


def test_a_file_without_x_and_a_choice_of_no_cells_are_refused(tmp_path):
    without = AnnData(obs=cells().obs, layers={"counts": cells().X})
    without.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(UserError, match="There is no matrix X: name the layer"):
        as_cells(anndata.read_h5ad(tmp_path / "a.h5ad", backed="r"))
    with pytest.raises(UserError, match="adata has no cells, as if a choice of cells found none"):
        as_cells(cells()[:0])


# ---- samples -------------------------------------------------------------------------------------


def sampled(samples: list[object], **obs: object) -> AnnData:
    adata = AnnData(sp.csr_matrix(np.ones((len(samples), 3), np.float32)))
    adata.obs = pd.DataFrame({"a/b": samples, **obs}, index=[f"c{i}" for i in range(len(samples))])
    return adata


def test_a_method_sees_the_samples_and_no_other_column():
    adata = sampled([2] * 10 + [1] * 12, cell_type=["x"] * 22)
    adata.var_names = list("pqr")
    cells = as_cells(adata, label_key="cell_type", batch_key="a/b")
    assert cells.obs.columns.tolist() == ["cell_type", "_batch"]
    bare = without_labels(cells)
    assert bare.obs.columns.tolist() == ["_batch"]
    assert bare.obs_names.equals(adata.obs_names)
    assert bare.var_names.equals(adata.var_names)
    assert (bare.X != adata.X).nnz == 0
    assert samples_of(bare).tolist() == [1] * 10 + [0] * 12
    assert samples_of(without_labels(as_cells(adata))) is None


def test_wrong_samples_are_refused():
    def read(given: tuple[list[object], str]) -> None:
        adata = sampled(given[0], cell_type=["t"] * len(given[0]))
        as_cells(adata, label_key="cell_type", batch_key=given[1])

    two = ["x"] * 20 + ["y"] * 10
    assert_refused(
        read,
        ((["x"] * 20, "a/b"), "All cells have one value in 'a/b': leave out batch_key"),
        ((["x"] * 20 + ["y"] * 9, "a/b"), "samples of 'a/b' have too few cells, 10 are needed"),
        ((["x"] * 20 + [None] * 10, "a/b"), "10 cells have no value in 'a/b'"),
        ((two, "ab"), r"There is no column 'ab' in the cells' annotation .there are: "),
        ((two, "cell_type"), "'cell_type' cannot hold both"),
    )


def test_samples_of_few_cells_are_one(caplog, subtests):
    for sizes, wanted in [
        ({"x": 20, "y": 12, "z": 3}, {"x": 20, "y + z": 15}),
        ({"x": 20, "y": 6, "z": 5}, {"x": 20, "y + z": 11}),
        ({"x": 20, "y": 10}, {"x": 20, "y": 10}),
    ]:
        with subtests.test(sizes=sizes):
            caplog.clear()
            names = [name for name, n in sizes.items() for _ in range(n)]
            found = as_cells(sampled(names), batch_key="a/b").obs["_batch"]
            assert found.value_counts().to_dict() == wanted
            assert ("with few cells count as one" in caplog.text) == (sizes != wanted)
