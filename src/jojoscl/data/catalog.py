"""The catalogue: what each public dataset is, where its files come from, and what they must hold.

A dataset comes in one or more variants; the first is the default. Adding one is a row here and a YAML in
``conf/data/``. Files are named as in the public place they come from, or close to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anndata import AnnData

from jojoscl.data.io.download import RemoteFile
from jojoscl.data.io.readers import read_h5, read_rda
from jojoscl.data.io.tables import read_table
from jojoscl.utils.errors import UserError, nearest

GITHUB = "https://raw.githubusercontent.com"
SCDEEPCLUSTER = f"{GITHUB}/ttgump/scDeepCluster/ff7f29d003be7112c6a3dcab37c44d461423647d/scRNA-seq%20data"
SCDCC = f"{GITHUB}/ttgump/scDCC/142e4e0370f4134751e92a160f95f97fce8db369/data"
SC3 = f"{GITHUB}/hemberg-lab/SC3/5f5161b1aea7dacaad14eb2433b568bbfbd85b8a/data"
SCZIDESK = f"{GITHUB}/xuebaliang/scziDesk/fc719e7086381d6e7713870b52cee44b015e5762/dataset"
BARON = f"{GITHUB}/LiShenghao813/AttentionAE-sc/8bfbbb831db56881c0824fa28b4095eb40bebc02/Data/Baron"
DARMANIS = (
    f"{GITHUB}/numpde/sta426_deconvo/d8f378502dbf3496795ade2835decebd27025e7a"
    "/data/20201206-RefDatasets/2015-Darmanis/b_prepared"
)
GEO = "https://ftp.ncbi.nlm.nih.gov/geo/series"


@dataclass(frozen=True)
class Variant:
    """One way to have a dataset.

    read: makes the cells from the paths of `files`, in their order. label_key: the column with the types.
    without: cells of this type are left out. n_cells, n_genes, n_types: what remains.
    """

    files: tuple[RemoteFile, ...]
    read: Callable[..., AnnData]
    label_key: str
    n_cells: int
    n_genes: int
    n_types: int
    without: str | None = None


@dataclass(frozen=True)
class Entry:
    """A dataset of the catalogue. kind: what its values are; doubt: what a reader of results must know."""

    summary: str
    source: str
    variants: dict[str, Variant]
    kind: str = "counts"
    doubt: str = ""


def _h5(name: str, url: str, checksum: str, n_cells: int, n_genes: int, n_types: int) -> Variant:
    file = RemoteFile(name, f"{url}/{name}", checksum)
    return Variant((file,), read_h5, "Y", n_cells, n_genes, n_types)


def _read_geo(data: Path, metadata: Path) -> AnnData:
    return read_table(data, metadata=metadata, transpose=True)


def _read_pbmc68k() -> AnnData:
    import scanpy as sc  # slow to import, and needed only here

    adata = sc.datasets.pbmc68k_reduced()  # X is scaled; raw holds what it was scaled from
    return AnnData(X=adata.raw.X, obs=adata.obs[["bulk_labels"]], var=adata.raw.var[[]])


_DARMANIS_FILES = (
    RemoteFile(
        "darmanis_data.csv.gz",
        f"{DARMANIS}/data.csv.gz",
        "sha256:e281d9160965c2381a05795053e7de6c127657b658b0ea80b5e4f4f9290390e0",
    ),
    RemoteFile(
        "darmanis_meta.csv.gz",
        f"{DARMANIS}/meta.csv.gz",
        "sha256:843f843b0599aa71d688b145cb2921439635fa22a1708aad5542482edbe31d85",
    ),
)
_CHEN_FILES = tuple(
    RemoteFile(name, f"{GEO}/GSE87nnn/GSE87544/suppl/{name}")
    for name in (
        "GSE87544_Merged_17samples_14437cells_count.txt.gz",
        "GSE87544_1443737Cells.SVM.cluster.identity.renamed.csv.gz",
    )
)
_BARON_FILES = (
    RemoteFile(
        "baron_mouse1.zip",
        f"{BARON}/Baron%20mouse1.zip",
        "sha256:616310f511cfee809230bb8c3648a937d9c100767ee9072556702c2e8edba2a8",
    ),
    RemoteFile(
        "baron_mouse2.zip",
        f"{BARON}/Baron%20mouse2.zip",
        "sha256:aab6b9efe2e08720b76557c51675897d1ddaee91d8e0335c8c43128ed11ca588",
    ),
)
_YAN_FILE = RemoteFile(
    "yan.rda", f"{SC3}/yan.rda", "sha256:04dbe1de78f59e157da8c438295d07b7c8694effe2e3adffa12c18fcd69c0a26"
)
_ADAM_FILE = RemoteFile("adam_data.h5", f"{SCZIDESK}/Adam/data.h5", "git:004fc2836c73afce639cd617ccd5513b1800c16c")
_GENE_SELECTED = "genes were selected by the authors of the file, by a rule they do not state"

CATALOG: dict[str, Entry] = {
    "pbmc_10x": Entry(
        "Human peripheral blood, 10X Genomics",
        "10X Genomics PBMC 4k, by scDeepCluster and scDCC",
        {
            "top2000": _h5(
                "10X_PBMC_top2000.h5",
                f"{SCDCC}/Small_Datasets",
                "sha256:ec78ead405dfa988d6156c12068b49c0782ca58f5ed52c938d8ba8e8377eb16e",
                *(4271, 2000, 8),
            ),
            "all_genes": _h5(
                "10X_PBMC.h5", SCDEEPCLUSTER, "git:b999d6caca56ab4321528bef0a49a3bd86aad985", 4271, 16653, 8
            ),
        },
        doubt=f"the types come from a clustering; top2000: {_GENE_SELECTED}",
    ),
    "bladder": Entry(
        "Mouse bladder, Mouse Cell Atlas",
        "GSE108097, by scDeepCluster and scDCC",
        {
            "top2000": _h5(
                "mouse_bladder_cell_top2000.h5",
                f"{SCDCC}/Small_Datasets",
                "sha256:2a97282cf325a4b2a63c2b818be82c453007f29838c7280f30dadd01be4501ab",
                *(2746, 2003, 16),
            ),
            "select_2100": _h5(
                "mouse_bladder_cell_select_2100.h5",
                f"{SCDCC}/Small_Datasets",
                "sha256:4e686932884fc04d8bc9a92dad1a648d6e23f490b0c106903bca95d68093f591",
                *(2100, 20670, 16),
            ),
            "all_genes": _h5(
                "mouse_bladder_cell.h5",
                SCDEEPCLUSTER,
                "git:59d5c178d1c8078ad3410d049983301e66e6fde9",
                *(2746, 20670, 16),
            ),
        },
        doubt=f"top2000: {_GENE_SELECTED}",
    ),
    "human_brain": Entry(
        "Human cortex, adult and fetal (Darmanis 2015)",
        "GSE67835",
        {
            "no_hybrids": Variant(_DARMANIS_FILES, _read_geo, "cell type", 420, 22085, 8, without="hybrid"),
            "hybrids": Variant(_DARMANIS_FILES, _read_geo, "cell type", 466, 22085, 9),
        },
    ),
    "yan": Entry(
        "Human embryos, zygote to blastocyst (Yan 2013)",
        "GSE36552, by SC3",
        {"all_genes": Variant((_YAN_FILE,), read_rda, "cell_type1", 90, 20214, 6)},
        kind="rpkm",
        doubt="the values are RPKM, not counts",
    ),
    "baron_mouse": Entry(
        "Mouse pancreas (Baron 2016)",
        "GSE84133: GSM2230761, GSM2230762",
        {"all_genes": Variant(_BARON_FILES, read_table, "assigned_cluster", 1886, 14878, 13)},
        doubt="the paper does not say which set its 'Mouse' is; this is the best candidate",
    ),
    "adam": Entry(
        "Mouse kidney (Adam 2017)",
        "GSE94333, by scziDesk",
        {"all_genes": Variant((_ADAM_FILE,), read_h5, "cell_type1", 3660, 23797, 8)},
    ),
    "klein": Entry(
        "Mouse embryonic stem cells on days 0, 2, 4, 7 (Klein 2015)",
        "GSE65525, by scDeepCluster",
        {
            "all_genes": _h5(
                "mouse_ES_cell.h5",
                SCDEEPCLUSTER,
                "git:d197f75db60569f5819cc986e8a919418f131d95",
                2717,
                24175,
                4,
            )
        },
    ),
    "chen": Entry(
        "Mouse hypothalamus (Chen 2017)",
        "GSE87544",
        {
            name: Variant(_CHEN_FILES, _read_geo, "SVM_clusterID", n_cells, 23284, n_types, without=without)
            for name, n_cells, n_types, without in (
                ("annotated", 12089, 46, "zothers"),
                ("all_cells", 14437, 47, None),
            )
        },
        doubt="GEO publishes no checksum: the first download is trusted",
    ),
    "macosko": Entry(
        "Mouse retina (Macosko 2015)",
        "GSE63473, by scDCC",
        {
            "selected": _h5(
                "Macosko_mouse_retina.h5",
                f"{SCDCC}/Large_Datasets",
                "git:c490a2180e609de1182e455f12463b295999c1b8",
                *(14653, 11422, 39),
            )
        },
    ),
    "shekhar": Entry(
        "Mouse retina, bipolar cells (Shekhar 2016)",
        "GSE81904, by scDeepCluster",
        {
            "all_genes": _h5(
                "Shekhar_mouse_retina_raw_data.h5",
                f"{SCDEEPCLUSTER}/large%20real%20datasets",
                "git:4d0f11c418a8902c5be2365e265c29d9b86cd275",
                *(27499, 13166, 19),
            )
        },
    ),
    "worm_neuron": Entry(
        "Worm neurons, very sparse; not in the paper",
        "sci-RNA-seq, by scDCC",
        {
            "all_genes": _h5(
                "worm_neuron_cell.h5",
                f"{SCDCC}/Small_Datasets",
                "sha256:4f2a3c4b8492bcd11d957a8a74098ba258c271d714718c175854a7c44b1e31e6",
                *(4186, 13488, 10),
            )
        },
    ),
    "pbmc68k_reduced": Entry(
        "Human peripheral blood, in scanpy's package: nothing to download",
        "10X Genomics PBMC 68k, by scanpy",
        {"raw": Variant((), _read_pbmc68k, "bulk_labels", 700, 765, 10)},
        kind="log1p",
        doubt="log-normalised values of 765 selected genes",
    ),
}

ALIASES = {"mouse": "baron_mouse"}
"""Other names by which a dataset may be asked for: the paper's 'Mouse'."""


def find(name: str, variant: str | None = None) -> tuple[str, Entry, str]:
    """The catalogue's name, entry and variant for what was asked; no variant means the first.

    Raises
    ------
    UserError
        There is no such dataset or variant; the nearest name is suggested.
    """
    name = ALIASES.get(name, name)
    if name not in CATALOG:
        raise UserError(f"There is no dataset {name!r}{nearest(name, CATALOG)}.")
    variants = CATALOG[name].variants
    chosen = variant or next(iter(variants))
    if chosen not in variants:
        raise UserError(f"Dataset {name} has no variant {chosen!r}{nearest(chosen, variants)}.")
    return name, CATALOG[name], chosen
