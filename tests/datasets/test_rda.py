"""The layouts of R data files, on small files that R itself wrote (`rda/make.R`)."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from rdata import write_rda

from jojoscl.datasets.rda import read_rda
from jojoscl.datasets.readers import read_file
from jojoscl.utils.errors import UserError
from tests.hostile import flipped_or_cut
from tests.small import assert_refused

MADE = Path(__file__).parent / "rda"
GENES = [f"Gene{g}" for g in range(1, 8)]
CELLS = [f"cell_{c}" for c in range(1, 13)]
NUMBERED = [f"cell{c}" for c in range(12)]
TYPES = ["beta", "alpha", "delta"] * 4
C, G = np.ogrid[1:13, 1:8]
COUNTS = np.maximum((G * C + 2 * G + C) % 7 - 2, 0)
COUNTS[[4, 11], 4] = 1


def assert_holds(adata, cells, genes=GENES):
    assert isinstance(adata.X, sp.csr_matrix)
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
    assert list(adata.obs_names) == cells
    assert list(adata.var_names) == genes


def object_of(file, matrix, cells):
    name = file.removesuffix(".rda")
    return file, {"matrix": f"{name}/{matrix}", "cells": f"{name}/{cells}"}


SCE = "colData/listData"
IDS = [f"{t}_{i}" for i, t in enumerate(TYPES, 1)]
LOGS = {"matrix": "logs/assays/logcounts", "cells": "logs/colData/listData"}
LAYOUTS = {  # files, settings, names of cells, annotation
    "SingleCellExperiment": (
        *object_of("sce.rda", "assays/counts", SCE), CELLS,
        {"type": TYPES, "id": IDS, "class": ["Singlet"] * 3 + ["Doublet"]},
    ),
    "its logarithms": (
        "logs.rda", LOGS | {"unlog": "sizeFactor"}, CELLS,
        {"type": TYPES, "sizeFactor": list(np.arange(1, 13) / 6.5)},
    ),
    "assays of old": (*object_of("old.rda", "assays/count", SCE), NUMBERED, {"type": TYPES}),
    "names in a GRangesList": (
        *object_of("listed.rda", "assays/count", SCE), NUMBERED, {"type": TYPES},
    ),
    "names in the object": (
        *object_of("bare.rda", "assays/count", SCE), NUMBERED, {"type": TYPES},
    ),
    "Seurat": (
        *object_of("seurat.rda", "assays/RNA/counts", "meta.data"), CELLS,
        {"type": TYPES, "nCount_RNA": list(COUNTS.sum(1))},
    ),
    "list with a dgCMatrix": (
        "lists.rda", {"matrix": "some/exp", "cells": "some", "unlog": "smallest"}, CELLS,
        {"cellType": TYPES},
    ),
    "list with the genes": (
        "lists.rda", {"matrix": "named/data", "cells": "named", "genes": "named/gene_names"},
        NUMBERED, {"annotation": TYPES},
    ),
    "list of cells x genes": (
        "lists.rda", {"matrix": "turned/counts", "cells": "turned/cell.info", "transpose": True},
        CELLS, {"cell.type": TYPES},
    ),
    "matrix and data frame": (
        "plain.Rdata", {"matrix": "data", "cells": "pheno"}, CELLS,
        {"Study_ID": ["A", "B"], "Celltype": TYPES},
    ),
    "two files": (
        "matrix.rda vector.rda", {"matrix": "sc_count", "cells": ""}, CELLS,
        {"celltype": ["beta", None, "delta", *TYPES[3:]]},
    ),
    "two files, cells by name": (
        "matrix.rda table.rda",
        {"matrix": "sc_count", "cells": "sc_cluster", "cell_key": "cell_name"}, CELLS,
        {"class_label": TYPES},
    ),
}  # fmt: skip


def test_layouts(subtests):
    for layout in LAYOUTS:
        with subtests.test(layout=layout):
            files, settings, cells, obs = LAYOUTS[layout]
            adata = read_rda(*(MADE / name for name in files.split()), **settings)
            assert_holds(adata, cells, [*GENES[:6], "ERCC-00002"] if "genes" in settings else GENES)
            for name, values in obs.items():
                found = [None if pd.isna(value) else value for value in adata.obs[name]]
                assert found == list(values) * (12 // len(values))


def test_logarithms_of_values_that_are_no_counts():
    adata = read_rda(MADE / "logs.rda", **LOGS, unlog="values")
    np.testing.assert_allclose(adata.X.toarray(), COUNTS / (C / 6.5), rtol=1e-6)


def test_without_layout_the_largest_object_is_the_matrix():
    adata = read_rda(MADE / "plain.Rdata")
    assert_holds(adata, CELLS)
    assert list(adata.obs["Celltype"]) == TYPES
    assert_holds(read_file(MADE / "matrix.rda"), CELLS)
    turned = read_file(MADE / "matrix.rda", transpose=True)
    np.testing.assert_array_equal(turned.X.toarray(), COUNTS.T)
    assert list(turned.obs_names) == GENES


TABLE = pd.DataFrame(
    COUNTS.T.astype(float), pd.Index(GENES, dtype=object), pd.Index(CELLS, dtype=object)
)


def test_data_frames(tmp_path):
    types = pd.DataFrame({"cell_type1": pd.Series(TYPES, TABLE.columns, object)})
    write_rda(tmp_path / "a.rda", {"ann": types, "yan": TABLE})
    adata = read_rda(tmp_path / "a.rda")
    assert_holds(adata, CELLS)
    assert list(adata.obs["cell_type1"]) == TYPES


def test_packed_in_any_way(tmp_path):
    for compression in (None, "gzip", "bzip2", "xz"):
        write_rda(tmp_path / "a.rda", {"x": TABLE}, compression=compression)
        assert_holds(read_rda(tmp_path / "a.rda"), CELLS)


def test_logarithms_that_are_not_those_of_counts(tmp_path):
    write_rda(tmp_path / "a.rda", {"x": np.log2(TABLE.replace(2, 2.3) + 1)})
    with pytest.raises(UserError, match=r"its logarithms are not those of counts \(off by 0\.3\)"):
        read_rda(tmp_path / "a.rda", unlog="smallest")


def test_a_file_of_another_layout():
    said = {
        "sce/assays/count": "has no sce/assays/count: there is no 'count'",
        "se/assays/counts": r"there is no 'se' \(did you mean 'sce'\?\)",
        "sce/colData": "sce/colData is no matrix of numbers, dense or a dgCMatrix",
    }
    assert_refused(
        lambda given: read_rda(MADE / given[0], **given[1]),
        *[(("sce.rda", {"matrix": name}), f"sce.rda.*{words}") for name, words in said.items()],
        (("sce.rda", {}), "sce.rda holds no table"),
        *[
            (("plain.Rdata", {"matrix": "data"} | own), f"plain.Rdata.*{words}")
            for own, words in (
                ({"cells": "phenos"}, "did you mean 'pheno'"),
                ({"cell_key": "barcode"}, "cannot be read .*barcode"),
                ({"genes": "pheno/Celltype"}, "cannot be read"),
                ({"unlog": "size"}, "cannot be read .*size"),
                ({"matrix": "pheno"}, "cannot be read .*could not convert"),
            )
        ],
    )


def test_damaged_bytes(tmp_path):
    """A sentence or cells, never a crash."""
    file, settings, _, _ = LAYOUTS["Seurat"]
    good, rng, said = gzip.decompress((MADE / file).read_bytes()), np.random.default_rng(0), []
    for _ in range(60):
        (tmp_path / file).write_bytes(flipped_or_cut(good, rng))
        try:
            assert read_rda(tmp_path / file, **settings).n_obs > 0
        except UserError as error:
            said.append(str(error))
    assert 20 < len(said) < 60
    assert not [words for words in said if "\n" in words]
