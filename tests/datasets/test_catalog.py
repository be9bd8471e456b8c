"""The catalogue agrees with itself and with the configuration, and names the nearest valid choice."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.datasets.download import data_root
from jojoscl.datasets.load import CATALOG, READERS, CatalogDataset, find, load_dataset, read
from tests.small import assert_refused

CONF = Path(__file__).parents[2] / "conf"
FILES = [
    (name, file)
    for name, about in CATALOG.items()
    for variant in about["variants"]
    for file in find(name, variant)["files"]
]
PAPER = [
    "adam", "bladder", "chen", "human_brain", "klein", "macosko", "baron_mouse", "shekhar",
    "yan", "pbmc_10x",
]  # fmt: skip
MORE = {  # cells, genes, types, kind
    "kang_pbmc_ctrl": (12261, 1287, 8, "counts"),
    "paul15_hspc": (2660, 3004, 7, "counts"),
    "marques_oligo": (2618, 8691, 13, "counts"),
    "mca_stomach_intestine": (1871, 14688, 22, "counts"),
    "hashing_4lines": (1701, 2000, 4, "counts"),
    "zilionis_mouse_lung": (800, 24248, 4, "counts"),
    "tasic_gaba": (761, 3157, 23, "rpkm"),
    "joost_epidermis": (720, 24378, 5, "counts"),
    "zeisel_550": (550, 19972, 11, "counts"),
    "su_fetal_liver": (367, 1000, 6, "rpkm"),
    "mix_rna_celseq2": (340, 14804, 7, "counts"),
    "ipsc_timecourse": (315, 15724, 5, "counts"),
    "kolodziejczyk_sub300": (300, 2026, 3, "counts"),
    "pollen": (299, 23794, 11, "counts"),
    "mix_rna_sortseq": (296, 15571, 7, "counts"),
    "zeisel_interneurons": (290, 3157, 16, "counts"),
    "camp_fetal_cortex": (220, 12694, 7, "counts"),
    "tm_kidney_215": (215, 23341, 3, "counts"),
}


def test_the_ten_datasets_of_the_paper_and_twenty_more():
    assert set(CATALOG) == {*PAPER, *MORE, "worm_neuron", "pbmc68k_reduced"}
    assert len(MORE) == 18


def test_sizes_and_kinds():
    keys = ("n_cells", "n_genes", "n_types", "kind")
    found = {name: {"kind": "counts"} | find(name) for name in MORE}
    assert {name: tuple(about[key] for key in keys) for name, about in found.items()} == MORE
    for name, about in found.items():
        assert len(CATALOG[name]["variants"]) == 1, name
        assert all(file["checksum"].startswith("git:") for file in about["files"]), name
        words = rf"\b{about['n_cells']} cells, {about['n_types']} types"
        assert re.search(words, (CONF / "data" / f"{name}.yaml").read_text()), name


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_what_a_variant_keeps_and_calls_its_types(monkeypatch):
    x = sp.csr_matrix([[1, 0, 2], [0, 3, 0], [4, 0, 0], [0, 0, 5], [6, 6, 6]], dtype="f4")
    obs = {"a": ["u_1", "v_2", None, "v", "w"], "b": [0.5, 1, 0, 0, 1], "c": list("ppqpq")}
    genes = pd.DataFrame(index=["g1", "ERCC-1", "g2"])
    cells = AnnData(x, obs=pd.DataFrame(obs, list("stuvs")), var=genes)
    monkeypatch.setitem(READERS, "copy", cells.copy)
    own = {"reader": "copy", "label_key": "a", "files": []}

    def types(**settings):
        adata = read(own | settings, Path())
        assert list(adata.obs) == ["cell_type"]
        return dict(zip(adata.obs_names, adata.obs["cell_type"], strict=True))

    assert types() == {"s": "u_1", "t": "v_2", "v": "v", "s-1": "w"}
    assert types(keep="c == 'p' and b < 1") == {"s": "u_1", "v": "v"}
    joined = {"s": "u_1_0.5", "t": "v_2_1.0", "v": "v_0.0", "s-1": "w_1.0"}
    assert types(label_key=["a", "b"]) == joined
    left = {"s": "u_1", "v": "v", "s-1": "w"}
    assert types(without_genes="ERCC-") == left, "a cell of spike-ins alone is dropped"
    kept = read(own | {"without_genes": "ERCC-"}, Path())
    assert list(kept.var_names) == ["g1", "g2"]
    assert kept.X.toarray().tolist() == [[1, 2], [0, 5], [6, 6]]


def test_every_file_is_pinned():
    """By the commit in the address of a raw GitHub file and by a checksum; chen has none to go by."""
    commit, checksum = r"https://\S*/[0-9a-f]{40}/\S*", r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}"
    wrong = [
        file
        for name, file in FILES
        if name != "chen"
        and not (
            re.fullmatch(commit, file["url"]) and re.fullmatch(checksum, file.get("checksum", ""))
        )
    ]
    assert not wrong
    chen = [file for name, file in FILES if name == "chen"]
    assert all(
        re.fullmatch(r"https://\S*", file["url"]) and "checksum" not in file for file in chen
    )
    assert "publishes no checksum" in CATALOG["chen"]["doubt"]


def test_one_file_name_means_one_content():
    seen = {}
    for _, file in FILES:
        assert seen.setdefault(file["name"], file) == file


def test_root_follows_the_variable(monkeypatch):
    monkeypatch.setenv("JOJOSCL_DATA_ROOT", "/somewhere")
    assert data_root(CatalogDataset(name="yan").root) == Path("/somewhere")


def test_first_variant_is_the_default():
    assert find("bladder")["variant"] == "top2000"
    assert find("human_brain")["variant"] == "no_hybrids"
    assert find("bladder", "select_2100")["variant"] == "select_2100"


def test_wrong_choices():
    assert_refused(
        lambda settings: CatalogDataset(**settings),
        ({"name": "blader"}, "did you mean 'bladder'"),
        ({"name": "nothing like it"}, "there are: adam"),
        ({"name": "bladder", "variant": "select_210"}, "did you mean 'select_2100'"),
        ({"name": "yan", "root": 3}, "root must be str or Path or null"),
    )


def test_a_set_that_comes_with_the_package(tmp_path):
    adata = load_dataset("hashing_4lines", root=tmp_path)
    assert adata.shape == (1701, 2000)
    assert adata.obs["cell_type"].value_counts().to_dict() == {
        "HEK": 452, "KG1": 445, "K562": 417, "THP1": 387,
    }  # fmt: skip
    assert adata.X.sum() == 1041665
    assert not list(tmp_path.iterdir())


def test_embedded_dataset_needs_no_file(tmp_path):
    adata = load_dataset("pbmc68k_reduced", root=tmp_path)
    assert adata.shape == (700, 765)
    names = {"name": "pbmc68k_reduced", "variant": "counts"}
    assert adata.uns == {"kind": "counts", "kind_decided_by": "catalogue", **names}
    logs = np.log1p(
        adata.X.toarray() * 1e4 / sc.datasets.pbmc68k_reduced().obs[["n_counts"]].values
    )
    np.testing.assert_allclose(logs, sc.datasets.pbmc68k_reduced().raw.X.toarray(), atol=2e-3)
    assert len(adata.obs["cell_type"].cat.categories) == 10
    assert list(adata.obs) == ["cell_type"]
    assert adata.X.dtype == "float32"
    assert adata.X.format == "csr"
    assert not list(tmp_path.iterdir())
