"""Each format, on a small file written here; a damaged file gives one sentence that names it."""

import gzip
import json
import os
import pickle
import re
import warnings
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from rdata import write_rda

from jojoscl.cells import matrix
from jojoscl.cells.checks import as_cells
from jojoscl.datasets import readers
from jojoscl.datasets.load import FileDataset
from jojoscl.datasets.readers import read_file, read_h5
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import reading
from tests.small import assert_refused

COUNTS = np.random.default_rng(0).poisson(0.7, (12, 7))
CELLS = [f"AAACCTGA-{i}" for i in range(12)]
GENES = [f"Gene{j}" for j in range(7)]
TYPES = np.array(["alpha", "beta", "delta"] * 4)
TABLE = pd.DataFrame(
    COUNTS, index=pd.Index(CELLS, dtype=object), columns=pd.Index(GENES, dtype=object)
)


def holds(adata, counts=COUNTS):
    assert isinstance(adata.X, sp.csr_matrix)
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X.toarray(), counts)
    return True


def is_named(adata):
    return list(adata.obs_names) == CELLS and list(adata.var_names) == GENES


def test_h5_with_x_and_y(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "BAND_BYTES", 200)  # several bands, also of this small matrix
    for dtype, chunks in (("i4", None), ("f4", (12, 7)), ("f8", (5, 3))):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            packed = chunks and "gzip"
            file.create_dataset("X", data=COUNTS.astype(dtype), chunks=chunks, compression=packed)
            file["Y"] = np.arange(12.0) % 3
        adata = read_h5(tmp_path / "a.h5")
        assert holds(adata), dtype
        np.testing.assert_array_equal(adata.obs["Y"], np.arange(12) % 3)
        assert (adata.obs_names[0], adata.var_names[6]) == ("cell0", "gene6")


@pytest.mark.parametrize("chunks", [(1000, 50), (40, 50)])
def test_h5_dense_data_are_read_in_bands(tmp_path, monkeypatch, chunks):
    """One tall compressed chunk, as in the worm's file, which is unpacked once; and many small ones."""
    monkeypatch.setattr("jojoscl.cells.matrix.BAND_BYTES", 40_000)
    x = np.arange(50_000).reshape(1000, 50) % 7
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("X", data=x.astype("i4"), chunks=chunks, compression="gzip")
    seen, rows = [], matrix._from_file

    def spy(dataset, start, stop):
        seen.append((stop - start, dataset.id.get_access_plist().get_chunk_cache()[1]))
        return rows(dataset, start, stop)

    monkeypatch.setattr(matrix, "_from_file", spy)
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5").X.toarray(), x)
    assert seen == [(200, readers._CHUNK_CACHE)] * 5


def test_h5_names_under_any_key_and_types_in_words(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["X"], file["Y"] = COUNTS, TYPES.astype("S")
        file["gene_symbols"], file["barcodes"] = np.array(GENES, "S"), np.array(CELLS, "S")
    adata = read_h5(tmp_path / "a.h5")
    assert is_named(adata)
    assert list(adata.obs["Y"]) == list(TYPES)


def test_names_of_an_h5_whose_fields_say_nothing_go_by_their_number(tmp_path):
    h5(tmp_path / "a.h5", X=COUNTS, one=np.array(GENES, "S"), two=np.array(CELLS, "S"))
    assert is_named(read_h5(tmp_path / "a.h5"))


def write_exprs(path, matrix, cell_types):
    with h5py.File(path, "w") as file:
        if sp.issparse(matrix):
            for key in ("data", "indices", "indptr"):
                file[f"exprs/{key}"] = getattr(matrix, key)
            file["exprs/shape"] = matrix.shape
        else:
            file["exprs"] = matrix
        file["obs_names"], file["var_names"] = np.array(CELLS, "S"), np.array(GENES, "S")
        file["obs/total"] = COUNTS.sum(axis=1)
        file.create_group("var")
        for key, values in cell_types.items():
            file[f"obs/{key}"] = values


CODES = np.arange(12) % 3


def test_h5_of_sczidesk(tmp_path):
    for counts in (sp.csr_matrix(COUNTS), COUNTS):
        write_exprs(tmp_path / "data.h5", counts, {"cell_type1": TYPES.astype("S"), "plain": CODES})
        adata = read_h5(tmp_path / "data.h5")
        assert holds(adata)
        assert is_named(adata)
        assert list(adata.obs["cell_type1"]) == list(TYPES)
        assert list(adata.obs["plain"]) == list(CODES)
        assert set(adata.obs) == {"cell_type1", "plain", "total"}


def test_h5ad_and_suffixes(tmp_path):
    for transpose in (False, True):
        anndata.AnnData(TABLE.T if transpose else TABLE).write_h5ad(tmp_path / "a.h5ad")
        read = read_file(tmp_path / "a.h5ad", transpose=transpose)
        assert holds(read)
        assert is_named(read)


def h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for key, values in datasets.items():
            file[key] = values


def truncated(path):
    h5(path, X=np.random.default_rng(0).random((300, 40)), Y=np.arange(300))
    path.write_bytes(path.read_bytes()[:20_000])


def gz_cut(path):
    path.write_bytes(gzip.compress(TABLE.to_csv().encode() * 50)[:200])


def zip_of(path, n):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(n):
            archive.writestr(f"{i}.csv", TABLE.to_csv())


def tenx_folder(path):
    path.mkdir()
    (path / "matrix.mtx.gz").write_bytes(b"")


def nothing(path):
    path.write_bytes(b"")


def words(path):
    path.write_text("words")


def of_text(text):
    return lambda path: path.write_text(text)


def of_h5(**datasets):
    return lambda path: h5(path, **datasets)


BAD = [
    ("a.h5ad.gz", nothing, r"a format that is not read here: give a file in .*tables also packed by gzip"),
    ("a.rda.gz", nothing, "is not read here"),
    ("a.loom", nothing, r"anndata\.io\.read_loom\(path\)\.write_h5ad"),
    ("a.mtx.gz", nothing, r"scanpy\.read_10x_mtx\(folder\)\.write_h5ad"),
    ("a.h5mu", nothing, r"read_h5mu\(path\)\['rna'\]\.write_h5ad"),
    ("sample", tenx_folder, r"scanpy\.read_10x_mtx\(folder\)\.write_h5ad"),
    ("a.csv", lambda path: path.write_bytes("c,größe\na,1\n".encode("latin-1")), "save its text as UTF-8"),
    ("a.csv.gz", lambda path: path.write_bytes(gzip.compress(b"a,\xe4\nb,1\n")), "as UTF-8"),
    ("a" * 300 + ".h5ad", lambda path: None, "does not exist, or is not a file"),
    ("a.h5ad", lambda path: None, "does not exist"),
    ("a.h5", lambda path: path.mkdir(), "is not a file"),
    ("a.xyz", nothing, "is not read here"),
    ("a.h5", truncated, "cannot be read"),
    ("a.h5", words, "cannot be read"),
    ("a.h5ad", words, "cannot be read"),
    ("a.h5", of_h5(Z=COUNTS), "holds neither X nor exprs, but Z"),
    ("a.h5", of_h5(X=COUNTS.T, Y=CODES), "change data.transpose"),
    ("a.h5", of_h5(X=COUNTS, Y=CODES[:9]), "9 entries for 12 rows"),
    ("a.rda", of_text("RDX3\nnot really"), "cannot be read"),
    ("a.rda", lambda path: write_rda(path, {"x": np.arange(3)}), "holds no table"),
    ("a.csv", nothing, "cannot be read"),
    ("a.csv", of_text("c,g,h\na,1,2\nb,x,3\n"), "'g' holds words"),
    ("a.csv", of_text("c,g\na,1\nb,1,2,3\n"), "cannot be read"),
    ("a.csv.gz", gz_cut, "cannot be read"),
    ("a.csv.gz", words, "it may be damaged"),
    ("a.zip", words, "cannot be read"),
    ("a.zip", lambda path: zip_of(path, 2), "Multiple files found in ZIP"),
]  # fmt: skip


def test_bad_files(tmp_path):
    cases = []
    for i, (name, write, words) in enumerate(BAD):
        path = tmp_path / str(i) / name
        path.parent.mkdir()
        write(path)
        cases.append((path, f"^(?=.*{words}).*{re.escape(str(path))}"))
    assert_refused(read_file, *cases)


def test_running_out_of_memory_is_no_damaged_file(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(MemoryError), reading(tmp_path / "a"):
        raise MemoryError


def test_a_file_without_permission_is_not_called_damaged(tmp_path):
    (tmp_path / "a.h5").write_text("")
    with (
        pytest.raises(UserError, match=r"no permission\): make it readable") as error,
        reading(tmp_path / "a.h5"),
    ):
        raise PermissionError(13, "Unable to synchronously open file")
    assert "damaged" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("backed", [False, True])
def test_unreadable_file(tmp_path, backed):
    anndata.AnnData(TABLE.astype("f4")).write_h5ad(tmp_path / "a.h5ad")
    (tmp_path / "a.h5ad").chmod(0)
    with pytest.raises(UserError, match="no permission"):
        FileDataset(path=tmp_path / "a.h5ad", backed=backed).load()


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_zarr_in_memory(tmp_path):
    adata = anndata.AnnData(TABLE.astype("f4"), layers={"more": COUNTS + 1})
    adata.write_zarr(tmp_path / "a.zarr")
    assert holds(read_file(tmp_path / "a.zarr"))
    assert is_named(read_file(tmp_path / "a.zarr"))
    assert holds(read_file(tmp_path / "a.zarr", layer="more"), COUNTS + 1)
    with pytest.raises(UserError, match=r"no layers/mor: .* \(there are: more\)"):
        read_file(tmp_path / "a.zarr", layer="mor")


def test_h5ad_of_each_layout_and_its_raw(tmp_path):
    for build in (np.asarray, sp.csr_matrix, sp.csc_matrix):
        adata = anndata.AnnData(build(COUNTS.astype("f4")))
        adata.raw = anndata.AnnData(build(COUNTS.astype("f4")))
        adata[:, :3].copy().write_h5ad(tmp_path / "a.h5ad")
        assert holds(read_file(tmp_path / "a.h5ad"), COUNTS[:, :3]), build
        raw = read_file(tmp_path / "a.h5ad", layer="raw")
        assert holds(raw), build
        assert raw.n_vars == 7


def test_h5ad_of_before_anndata_07_names_a_way_that_works(tmp_path):
    """Annotation as records, categories beside them in uns, a sparse matrix with a mark of its own."""
    x = sp.csr_matrix(COUNTS, dtype="f4")
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        for name in ("data", "indices", "indptr"):
            file[f"X/{name}"] = getattr(x, name)
        file["X"].attrs["h5sparse_format"], file["X"].attrs["h5sparse_shape"] = "csr", x.shape
        file["obs"] = np.array(
            list(zip(CELLS, CODES, strict=True)), [("index", "S12"), ("louvain", "i1")]
        )
        file["var"] = np.array([(name,) for name in GENES], [("index", "S12")])
        file["uns/louvain_categories"] = np.array(["alpha", "beta", "delta"], "S")
    with pytest.raises(UserError, match=r"before 0\.7: write it anew by anndata\.read_h5ad"):
        read_file(tmp_path / "a.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata.read_h5ad(tmp_path / "a.h5ad").write_h5ad(tmp_path / "b.h5ad")
    adata = read_file(tmp_path / "b.h5ad")
    assert holds(adata)
    assert is_named(adata)
    assert list(adata.obs["louvain"]) == list(TYPES)


@pytest.mark.parametrize("fields", [("gene_symbols", "barcodes"), ("obs_names", "var_names")])
def test_names_of_a_square_h5_go_by_their_fields(tmp_path, caplog, fields):
    """Fields are read in alphabetical order, and both have the length of rows and of columns."""
    names = {key: [f"{key[0]}{i}" for i in range(7)] for key in fields}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["X"], file["Y"] = COUNTS[:7], CODES[:7]
        for key in fields:
            file[key] = np.array(names[key], "S")
    cells, genes = sorted(fields, key=lambda key: key[:3] in ("gen", "var"))
    adata = read_h5(tmp_path / "a.h5")
    assert holds(adata, COUNTS[:7])
    assert (list(adata.obs_names), list(adata.var_names)) == (names[cells], names[genes])
    assert "a.h5 is square: its rows are taken as cells; if they are genes, change " in caplog.text
    read_h5(tmp_path / "a.h5", transpose=True)
    assert "its columns are taken as cells" in caplog.text


def test_fields_of_a_square_h5_that_say_nothing_name_nothing(tmp_path):
    h5(tmp_path / "a.h5", X=COUNTS[:7], one=np.array(GENES, "S"), two=np.array(CELLS[:7], "S"))
    adata = read_h5(tmp_path / "a.h5")
    assert (adata.obs_names[0], adata.var_names[0]) == ("cell0", "gene0")


def test_names_of_genes_beside_the_cells_show_a_turned_h5(tmp_path):
    h5(tmp_path / "a.h5", X=COUNTS.T, cells=np.array(CELLS, "S"), genes=np.array(GENES, "S"))
    with pytest.raises(
        UserError, match=r"names of cells has 12 entries for 7 rows: change data\.transpose"
    ):
        read_h5(tmp_path / "a.h5")
    assert is_named(read_h5(tmp_path / "a.h5", transpose=True))


def index_changed(path, change):
    anndata.AnnData(TABLE.astype("f4")).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        names = change(file["obs/_index"][()])
        del file["obs/_index"]
        file["obs/_index"] = names


def test_names_of_an_h5ad_are_not_lost_without_a_word(tmp_path):
    for what, change in {
        "empty": lambda names: names[:0],
        "twice as long": lambda names: np.concatenate([names, names]),
        "doubled": lambda names: np.repeat(names[:6], 2),
        "blank": lambda names: np.full(12, b""),
    }.items():
        path = tmp_path / f"{what}.h5ad"
        index_changed(path, change)
        assert_refused(
            lambda backed, path=path: FileDataset(path=path, backed=backed).load(),
            *[(backed, "must have as many rows|the name of another") for backed in (False, True)],
        )


def write_tenx(path, kinds):
    x = sp.csr_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        for name in ("data", "indices", "indptr"):
            file[f"matrix/{name}"] = getattr(x, name)
        file["matrix/shape"] = COUNTS.shape[::-1]
        file["matrix/barcodes"] = np.array(CELLS, "S")
        for key, values in {"name": GENES, "id": GENES, "feature_type": kinds}.items():
            file[f"matrix/features/{key}"] = np.array(values, "S")
        file["matrix/features/genome"] = np.array(["GRCh38"] * 7, "S")


def test_10x_files_give_their_genes_alone(tmp_path, caplog):
    kinds = ["Gene Expression"] * 5 + ["Antibody Capture", "Multiplexing Capture"]
    write_tenx(tmp_path / "a.h5", kinds)
    cells = FileDataset(path=tmp_path / "a.h5").load()
    assert holds(cells, COUNTS[:, :5])
    assert (list(cells.obs_names), list(cells.var_names)) == (CELLS, GENES[:5])
    assert "2 of 7 features are no genes but Antibody Capture, Multiplexing" in caplog.text


def test_antibodies_of_an_anndata_are_left_out(tmp_path, caplog):
    adata = anndata.AnnData(TABLE.astype("f4"))
    adata.var["feature_types"] = ["Gene Expression"] * 4 + [None, "Antibody Capture", "Custom"]
    assert holds(as_cells(adata), COUNTS[:, :5])
    assert "2 of 7 features are no genes" in caplog.text
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(UserError, match=r"write the genes alone, by adata\[:, adata\.var"):
        FileDataset(path=tmp_path / "a.h5ad", backed=True).load()
    caplog.clear()
    adata.var["feature_types"] = "Peaks"  # of one kind alone: what the user wants
    assert as_cells(adata).n_vars == 7
    assert not caplog.records


def test_mudata_names_its_genes():
    class MuData: ...

    with pytest.raises(
        UserError, match=r"not MuData: .* that of the genes of a MuData, mdata\['rna'\]"
    ):
        as_cells(MuData())


class Evil:
    """Its pickle makes a folder when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_a_zarr_of_a_stranger_runs_no_code(tmp_path, subtests):
    """The one format whose second version knows pickle as a way to pack arrays."""
    adata = anndata.AnnData(sp.csr_matrix(COUNTS, dtype="f4"), obs={"type": TYPES})
    for i, array in enumerate(("X/data", "obs/type/codes", "obs/_index")):
        with anndata.settings.override(zarr_write_format=2):
            adata.write_zarr(path := tmp_path / f"{i}.zarr")
        (path / ".zmetadata").unlink()
        about = json.loads((path / array / ".zarray").read_text())
        pickled = {"filters": None, "compressor": {"id": "pickle", "protocol": 5}}
        (path / array / ".zarray").write_text(json.dumps(about | pickled))
        for chunk in (path / array).glob("[0-9]*"):
            chunk.write_bytes(pickle.dumps(Evil(tmp_path / "run")))
        for backed in (False, True):
            with (
                subtests.test(array=array, backed=backed),
                pytest.raises(UserError, match="cannot be read"),
            ):
                FileDataset(path=path, backed=backed).load()
    assert not (tmp_path / "run").exists()
