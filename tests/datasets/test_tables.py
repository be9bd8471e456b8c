"""Tables of text: separators, turned tables, annotation, several files, names that look like numbers."""

import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from jojoscl.datasets.readers import read_file
from jojoscl.datasets.tables import read_table, to_cells
from jojoscl.utils.errors import UserError
from tests.datasets.test_readers import CELLS, CODES, COUNTS, GENES, TABLE, TYPES, holds, is_named


def test_tables(tmp_path, monkeypatch, subtests):
    for suffix, transpose in product(
        [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt.gz"], [False, True]
    ):
        with subtests.test(suffix=suffix, transpose=transpose):
            monkeypatch.setattr("jojoscl.datasets.tables.BAND_BYTES", 200)
            path = tmp_path / f"cells{suffix}"
            (TABLE.T if transpose else TABLE).to_csv(path, sep="," if "csv" in suffix else "\t")
            adata = read_file(path, transpose=transpose)
            assert holds(adata)
            assert is_named(adata)


def test_table_with_a_header_of_r(tmp_path):
    """R leaves out the name of the column of row names."""
    lines = ["\t".join(GENES)] + [
        "\t".join([c, *map(str, row)]) for c, row in zip(CELLS, COUNTS, strict=True)
    ]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    adata = read_table(tmp_path / "a.txt")
    assert holds(adata)
    assert is_named(adata)


def test_summary_rows_of_htseq_are_dropped(tmp_path):
    rows = pd.DataFrame(
        9, index=["no_feature", "ambiguous", "__alignment_not_unique"], columns=CELLS
    )
    pd.concat([TABLE.T, rows]).to_csv(tmp_path / "a.csv")
    adata = read_table(tmp_path / "a.csv", transpose=True)
    assert holds(adata)
    assert is_named(adata)


def test_metadata_is_matched_by_name(tmp_path):
    """As for GSE87544: the cells are named in the second column, in another order; some are missing."""
    TABLE.T.to_csv(tmp_path / "counts.txt.gz", sep="\t")
    meta = pd.DataFrame({"Cell_ID_temp": CELLS, "SVM_clusterID": TYPES}).sample(
        frac=1, random_state=0
    )
    meta[meta["Cell_ID_temp"] != CELLS[3]].to_csv(tmp_path / "meta.csv.gz")
    adata = read_file(tmp_path / "counts.txt.gz", metadata=tmp_path / "meta.csv.gz", transpose=True)
    assert holds(adata)
    types = adata.obs["SVM_clusterID"]
    assert types.isna().tolist() == [i == 3 for i in range(12)]
    assert types.drop(CELLS[3]).tolist() == np.delete(TYPES, 3).tolist()


def test_metadata_that_names_other_things(tmp_path):
    TABLE.to_csv(tmp_path / "a.csv")
    pd.DataFrame({"type": TYPES}, index=CELLS).to_csv(tmp_path / "meta.csv")
    with pytest.raises(UserError, match=r"change data\.transpose"):
        read_file(tmp_path / "a.csv", metadata=tmp_path / "meta.csv", transpose=True)
    pd.DataFrame({"type": TYPES}, index=range(12)).to_csv(tmp_path / "meta.csv")
    with pytest.raises(UserError, match=r"meta\.csv names none of the cells of .*a\.csv"):
        read_file(tmp_path / "a.csv", metadata=tmp_path / "meta.csv")


def test_zipped_tables_are_put_together(tmp_path):
    """As for baron_mouse: columns of annotation among the genes, two archives."""
    table = TABLE.copy()
    table.insert(0, "barcode", ["ACGT"] * 12)
    table.insert(1, "assigned_cluster", TYPES)
    table["doublet"] = False
    for i, part in enumerate([table[:5], table[5:]]):
        with zipfile.ZipFile(tmp_path / f"{i}.zip", "w") as archive:
            archive.writestr("counts.csv", part.to_csv())
    adata = read_table(tmp_path / "0.zip", tmp_path / "1.zip")
    assert holds(adata)
    assert is_named(adata)
    assert list(adata.obs["assigned_cluster"]) == list(TYPES)
    assert set(adata.obs) == {"barcode", "assigned_cluster", "doublet"}


def test_types_in_numbers_are_not_a_gene(tmp_path):
    TABLE.assign(cluster=CODES).to_csv(tmp_path / "a.csv")
    adata = read_file(tmp_path / "a.csv", label_key="cluster")
    assert holds(adata)
    assert list(adata.obs["cluster"]) == [str(code) for code in CODES]


def test_words_in_a_transposed_table_describe_the_genes(tmp_path):
    TABLE.T.assign(kind="x").to_csv(tmp_path / "a.csv")
    adata = read_table(tmp_path / "a.csv", transpose=True)
    assert holds(adata)
    assert list(adata.var["kind"]) == ["x"] * 7


def test_tables_of_other_genes_are_refused(tmp_path):
    TABLE.to_csv(tmp_path / "a.csv")
    TABLE.iloc[:, :6].to_csv(tmp_path / "b.csv")
    with pytest.raises(UserError, match=r"b\.csv has other genes than .*a\.csv"):
        read_table(tmp_path / "a.csv", tmp_path / "b.csv")


def test_metadata_with_a_header_of_r(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\ng1,1,2\n")
    (tmp_path / "y.csv").write_text("share,kind\nb,0.5,u\na,1,v\n")
    adata = read_file(tmp_path / "x.csv", metadata=tmp_path / "y.csv", transpose=True)
    assert adata.obs["share"].tolist() == [1, 0.5]
    assert adata.obs["kind"].tolist() == ["v", "u"]
    assert list(adata.obs) == ["share", "kind"]


ODD = ["0012", "1e5", "null", "12", "NA", "1.50", "True", "-0", "1_000", "0x1F", "inf", '"']


def test_names_stay_as_they_are_written(tmp_path, subtests):
    """Names of cells, of genes and of types, here and in the metadata, which is in another order."""
    for transpose, separator in product([False, True], [",", "\t"]):
        with subtests.test(transpose=transpose, separator=separator):
            table = pd.DataFrame(COUNTS, index=ODD, columns=ODD[:7])
            (table.T if transpose else table).to_csv(tmp_path / "a.csv", sep=separator)
            types = ["01", "1", "1e0", ""] * 3
            meta = pd.DataFrame({"donor": np.arange(12), "name": ODD, "type": types})
            meta[::-1].to_csv(tmp_path / "meta.csv", index=False, sep=separator)
            own = {"metadata": tmp_path / "meta.csv", "label_key": "type", "transpose": transpose}
            adata = read_file(tmp_path / "a.csv", **own)
            assert holds(adata)
            assert (list(adata.obs_names), list(adata.var_names)) == (ODD, ODD[:7])
            assert adata.obs["donor"].tolist() == list(range(12))
            assert adata.obs["type"].tolist() == meta["type"].tolist()


def test_numbers_are_read_exactly(tmp_path):
    (tmp_path / "a.csv").write_text("c,g\na,0.1\nb,16777217.000001\n")
    assert read_table(tmp_path / "a.csv").X.toarray().ravel().tolist() == [
        float(np.float32(0.1)),
        float(np.float32(16777217.000001)),
    ]
    (tmp_path / "m.csv").write_text("c,x\na,0.25891675029296335\nb,0.30331272607892745\n")
    adata = read_file(tmp_path / "a.csv", metadata=tmp_path / "m.csv")
    assert adata.obs["x"].tolist() == [0.25891675029296335, 0.30331272607892745]


def test_annotation_of_another_length_is_one_sentence():
    x = sp.csr_matrix((3, 2), dtype=np.float32)
    assert list(to_cells(Path("f"), x, {"a": [1, 2, 3]}).obs_names) == ["cell0", "cell1", "cell2"]
    with pytest.raises(UserError, match=r"4 entries for 3 rows: change data\.transpose, or"):
        to_cells(Path("f"), x, {"a": [1, 2, 3, 4]})
