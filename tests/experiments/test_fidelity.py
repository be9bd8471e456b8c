"""Our figures beside those from elsewhere, on tables made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import fidelity
from jojoscl.utils.errors import UserError

HEADER = "dataset,variant,method,seed,selection,ari"
FIDELITY = [
    "pbmc_10x,top2000,jojoscl_released,0,last,0.70",
    "pbmc_10x,top2000,jojoscl_released,0,oracle,0.80",
]
TABLE1 = [
    "pbmc_10x,top2000,jojoscl_released,0,oracle,0.10",  # the same run again: the first counts
    "pbmc_10x,top2000,jojoscl,0,last,0.99",  # published nowhere
    "bladder,select_2100,sczidesk,0,last,0.30",
    "bladder,select_2100,sczidesk,1,last,0.34",
    "yan,all_genes,sccl,0,last,0.5",  # another set
]


def test_table(tmp_path: Path) -> None:
    (tmp_path / "fidelity.csv").write_text("\n".join([HEADER, *FIDELITY]))
    (tmp_path / "table1.csv").write_text("\n".join([HEADER, *TABLE1]))
    fidelity.make(tmp_path, tmp_path)
    assert (tmp_path / "fidelity.md").read_text().splitlines()[8:10] == [
        "| bladder select_2100 | sczidesk (2) | 0.320 | – | 0.491 | 0.444 | 0.124 off: **not near** |",
        "| pbmc_10x top2000 | jojoscl_released (1) | 0.700 | 0.800 | 0.808 | – | 0.008 off |",
    ]


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no table .*fidelity\.csv"):
        fidelity.make(tmp_path, tmp_path)


def test_the_papers_headline_is_against_seurat_alone() -> None:
    """The abstract's "26 % of ARI and 15 % of NMI", from the paper's own table of ten sets."""
    ari, nmi = fidelity.headline("ari"), fidelity.headline("nmi")
    assert (ari["seurat"], nmi["seurat"]) == pytest.approx((26.2, 15.4), abs=0.05)
    assert (ari["mean of the five"], nmi["mean of the five"]) == pytest.approx(
        (13.8, 8.5), abs=0.05
    )
    assert (ari["sccl"], nmi["sccl"]) == pytest.approx((3.6, 3.0), abs=0.05)
