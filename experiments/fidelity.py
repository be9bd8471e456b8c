"""Do the methods here do what they do elsewhere? Our ARI beside the paper's and others', on 10X PBMC and Bladder.

python experiments/fidelity.py      # experiments/results/{table1,fidelity}.csv -> experiments/results/fidelity.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from collect import grid, named, reference

from jojoscl.utils.errors import told_in_a_sentence
from jojoscl.utils.files import whole_file

HERE = Path(__file__).parent
SETS = ("pbmc_10x", "bladder")
METHODS = ("jojoscl released", "seurat", "sczidesk", "scdeepcluster", "contrastive_sc", "sccl")
BAND = 0.08  # how far from what is known elsewhere is near


def runs(results: Path) -> pd.DataFrame:
    """All runs of the two sets; where both tables have a run, that of the first."""
    tables = [named(pd.read_csv(results / name)) for name in ("fidelity.csv", "table1.csv")]
    keys = ["dataset", "variant", "name", "seed", "selection"]
    table = pd.concat(tables, ignore_index=True).drop_duplicates(keys)
    return table[table["dataset"].isin(SETS) & table["name"].isin(METHODS)]


def elsewhere() -> pd.DataFrame:
    """dataset, method and ARI: `paper`, and `others` where a third party measured it."""
    paper = reference().rename(columns={"ari": "paper"})
    others = pd.read_csv(HERE / "reference" / "third_party.csv").rename(columns={"ari": "others"})
    keys = ["dataset", "method"]
    return paper[[*keys, "paper"]].merge(others[[*keys, "others"]], "left", on=keys)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """A row a set and method: ARI at the last epoch and by the oracle, elsewhere, and whether one of ours is near."""
    means = table.pivot_table("ari", ["dataset", "variant", "name", "method"], "selection").reset_index()
    means = means.reindex(columns=[*means.columns[:4], "last", "oracle"])
    rows = means.merge(elsewhere(), "left", on=["dataset", "method"])
    off = [(rows[ours] - rows[theirs]).abs() for ours in ("last", "oracle") for theirs in ("paper", "others")]
    return rows.assign(off=pd.concat(off, axis=1).min(axis=1))


def markdown(rows: pd.DataFrame, seeds: pd.Series) -> str:
    header = ["Set", "Method", "Ours, label-free", "Ours, epoch by labels †", "Paper", "Third party", "Nearest"]

    def shown(value: float) -> str:
        return "–" if pd.isna(value) else f"{value:.3f}"

    lines = [
        [
            f"{row.dataset} {row.variant}",
            f"{row.name} ({seeds[row.dataset, row.variant, row.name]})",
            *map(shown, (row.last, row.oracle, row.paper, row.others)),
            f"{row.off:.3f} off" + ("" if row.off <= BAND else ": **not near**"),
        ]
        for row in rows.itertuples(index=False)
    ]
    return grid(header, lines) + "\n"


@told_in_a_sentence
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    results = parser.parse_args().results
    if missing := [name for name in ("fidelity.csv", "table1.csv") if not (results / name).exists()]:
        parser.error(f"there is no {results / missing[0]}: experiments/collect.py makes it from runs")
    table = runs(results)
    text = markdown(compared(table), table.groupby(["dataset", "variant", "name"])["seed"].nunique())
    with whole_file(results / "fidelity.md") as path:
        path.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
