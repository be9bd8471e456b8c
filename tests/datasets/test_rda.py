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

MADE = Path(__file__).parent / "rda"
GENES = [f"Gene{g}" for g in range(1, 8)]
CELLS = [f"cell_{c}" for c in range(1, 13)]
NUMBERED = [f"cell{c}" for c in range(12)]
TYPES = ["beta", "alpha", "delta"] * 4
C, G = np.ogrid[1:13, 1:8]
COUNTS = np.maximum((G * C + 2 * G + C) % 7 - 2, 0)
COUNTS[[4, 11], 4] = 1


def holds(adata, cells, genes=GENES):
    assert isinstance(adata.X, sp.csr_matrix)
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
    assert list(adata.obs_names) == cells
    assert list(adata.var_names) == genes


LAYOUTS = {
    "SingleCellExperiment": (
        "sce.rda",
        {"matrix": "sce/assays/counts", "cells": "sce/colData/listData"},
        CELLS,
        {
            "type": TYPES,
            "id": [f"{t}_{i}" for i, t in enumerate(TYPES, 1)],
            "class": ["Singlet"] * 3 + ["Doublet"],
        },
    ),
    "its logarithms": (
        "logs.rda",
        {
            "matrix": "logs/assays/logcounts",
            "cells": "logs/colData/listData",
            "unlog": "sizeFactor",
        },
        CELLS,
        {"type": TYPES, "sizeFactor": list(np.arange(1, 13) / 6.5)},
    ),
    "assays of old": (
        "old.rda",
        {"matrix": "old/assays/count", "cells": "old/colData/listData"},
        NUMBERED,
        {"type": TYPES},
    ),
    "names in a GRangesList": (
        "listed.rda",
        {"matrix": "listed/assays/count", "cells": "listed/colData/listData"},
        NUMBERED,
        {"type": TYPES},
    ),
    "names in the object": (
        "bare.rda",
        {"matrix": "bare/assays/count", "cells": "bare/colData/listData"},
        NUMBERED,
        {"type": TYPES},
    ),
    "Seurat": (
        "seurat.rda",
        {"matrix": "seurat/assays/RNA/counts", "cells": "seurat/meta.data"},
        CELLS,
        {"type": TYPES, "nCount_RNA": list(COUNTS.sum(1))},
    ),
    "list with a dgCMatrix": (
        "lists.rda",
        {"matrix": "some/exp", "cells": "some", "unlog": "smallest"},
        CELLS,
        {"cellType": TYPES},
    ),
    "list with the genes": (
        "lists.rda",
        {"matrix": "named/data", "cells": "named", "genes": "named/gene_names"},
        NUMBERED,
        {"annotation": TYPES},
    ),
    "list of cells x genes": (
        "lists.rda",
        {"matrix": "turned/counts", "cells": "turned/cell.info", "transpose": True},
        CELLS,
        {"cell.type": TYPES},
    ),
    "matrix and data frame": (
        "plain.Rdata",
        {"matrix": "data", "cells": "pheno"},
        CELLS,
        {"Study_ID": ["A", "B"], "Celltype": TYPES},
    ),
    "two files": (
        "matrix.rda vector.rda",
        {"matrix": "sc_count", "cells": ""},
        CELLS,
        {"celltype": ["beta", None, "delta", *TYPES[3:]]},
    ),
    "two files, cells by name": (
        "matrix.rda table.rda",
        {"matrix": "sc_count", "cells": "sc_cluster", "cell_key": "cell_name"},
        CELLS,
        {"class_label": TYPES},
    ),
}


def test_layouts(subtests):
    for layout in LAYOUTS:
        with subtests.test(layout=layout):
            files, settings, cells, obs = LAYOUTS[layout]
            adata = read_rda(*(MADE / name for name in files.split()), **settings)
            holds(adata, cells, [*GENES[:6], "ERCC-00002"] if "genes" in settings else GENES)
            for name, values in obs.items():
                found = [None if pd.isna(value) else value for value in adata.obs[name]]
                assert found == list(values) * (12 // len(values))


def test_logarithms_of_values_that_are_no_counts():
    settings = {
        "matrix": "logs/assays/logcounts",
        "cells": "logs/colData/listData",
        "unlog": "values",
    }
    adata = read_rda(MADE / "logs.rda", **settings)
    np.testing.assert_allclose(adata.X.toarray(), COUNTS / (C / 6.5), rtol=1e-6)


def test_without_layout_the_largest_object_is_the_matrix():
    adata = read_rda(MADE / "plain.Rdata")
    holds(adata, CELLS)
    assert list(adata.obs["Celltype"]) == TYPES
    holds(read_file(MADE / "matrix.rda"), CELLS)
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
    holds(adata, CELLS)
    assert list(adata.obs["cell_type1"]) == TYPES


def test_packed_in_any_way(tmp_path, subtests):
    for compression in [None, "gzip", "bzip2", "xz"]:
        with subtests.test(compression=compression):
            write_rda(tmp_path / "a.rda", {"x": TABLE}, compression=compression)
            adata = read_rda(tmp_path / "a.rda")
            assert adata.shape == COUNTS.shape
            holds(adata, CELLS)


def test_logarithms_that_are_not_those_of_counts(tmp_path):
    write_rda(tmp_path / "a.rda", {"x": np.log2(TABLE.replace(2, 2.3) + 1)})
    with pytest.raises(UserError, match=r"its logarithms are not those of counts \(off by 0\.3\)"):
        read_rda(tmp_path / "a.rda", unlog="smallest")


def test_a_file_of_another_layout(subtests):
    for file, settings, words in [
        (
            "sce.rda",
            {"matrix": "sce/assays/count"},
            r"has no sce/assays/count: there is no 'count'",
        ),
        ("sce.rda", {"matrix": "se/assays/counts"}, r"there is no 'se' \(did you mean 'sce'\?\)"),
        (
            "sce.rda",
            {"matrix": "sce/colData"},
            "sce/colData is no matrix of numbers, dense or a dgCMatrix",
        ),
        ("sce.rda", {}, "holds no table"),
        ("plain.Rdata", {"matrix": "data", "cells": "phenos"}, "did you mean 'pheno'"),
        ("plain.Rdata", {"matrix": "data", "cell_key": "barcode"}, "cannot be read .*barcode"),
        ("plain.Rdata", {"matrix": "data", "genes": "pheno/Celltype"}, "cannot be read"),
        ("plain.Rdata", {"matrix": "data", "unlog": "size"}, "cannot be read .*size"),
        ("plain.Rdata", {"matrix": "pheno"}, "cannot be read .*could not convert"),
    ]:
        with subtests.test(file=file):
            with pytest.raises(UserError, match=words) as error:
                read_rda(MADE / file, **settings)
            assert str(MADE / file) in str(error.value)
            assert "\n" not in str(error.value)


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
